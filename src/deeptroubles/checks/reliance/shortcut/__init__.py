"""reliance.shortcut: the check, its swaps and its examples."""
