"""Properties of images that need no network."""
