"""What several methods of units use."""
