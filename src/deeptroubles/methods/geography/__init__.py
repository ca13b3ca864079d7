"""Where in the world images come from, and how that compares with where people are."""
