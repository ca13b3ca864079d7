"""What several model sources use."""
