"""Helpers of the methods for units."""
