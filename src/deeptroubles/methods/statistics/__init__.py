"""Intervals and scores for what checks count."""
