"""What single units respond to."""
