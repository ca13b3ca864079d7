"""How concepts that are given as images affect a network."""
