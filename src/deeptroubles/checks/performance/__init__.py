"""How right it is, and how well it knows."""
