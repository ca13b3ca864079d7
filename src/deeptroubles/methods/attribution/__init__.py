"""Which parts of an image a prediction depends on: one signed map per image."""
