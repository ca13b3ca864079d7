"""Mitigation of gaps between groups: weights, a retrained last layer, thresholds."""
