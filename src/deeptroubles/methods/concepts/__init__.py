"""What a network makes of concepts that are given as images."""
