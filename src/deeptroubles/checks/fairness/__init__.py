"""Performance on groups, and leakage of group membership."""
