"""Helpers of transforms, and changes that checks make to images."""
