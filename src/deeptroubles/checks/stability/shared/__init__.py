"""What several checks of stability use."""
