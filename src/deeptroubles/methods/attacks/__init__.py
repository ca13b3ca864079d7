"""Modifications of images that change predictions."""
