"""Changes to an image that are searched for because they change the answer."""
