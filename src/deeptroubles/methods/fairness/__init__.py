"""Whom a classifier fails: measures by group, gaps between groups, and what gives a group away."""
