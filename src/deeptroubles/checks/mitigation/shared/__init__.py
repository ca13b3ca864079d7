"""What several checks of mitigation use."""
