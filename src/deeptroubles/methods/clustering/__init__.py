"""Clusters of heatmaps, and how well they are separated."""
