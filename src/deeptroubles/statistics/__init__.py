"""Intervals, tests and scores: pure functions of numbers."""
