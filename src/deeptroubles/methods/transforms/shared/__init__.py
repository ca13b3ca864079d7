"""What several transforms use, and what checks put into images."""
