"""Which parts of an image an answer rests on: one signed map per image."""
