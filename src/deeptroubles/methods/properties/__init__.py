"""What can be computed of a picture without any network."""
