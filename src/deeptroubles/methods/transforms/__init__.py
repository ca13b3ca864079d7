"""Changes of images that do not depend on a model's predictions."""
