"""Mitigation of gaps between groups: fitted on one half of the images, measured on the other."""
