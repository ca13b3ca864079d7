"""What the images themselves give away."""
