"""Changes to an image that are made, not searched for."""
