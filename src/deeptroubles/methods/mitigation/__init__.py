"""What can be done about gaps between groups: weights, a last layer trained anew, thresholds."""
