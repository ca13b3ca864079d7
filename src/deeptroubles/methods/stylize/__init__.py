"""Stylizing: the shape of one image with the texture of another."""
