"""What several checks of this family use."""
