"""Measures by group, gaps between groups, and leakage of group membership."""
