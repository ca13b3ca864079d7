"""reliance.shortcut: the check, the swaps it measures and the pictures it shows."""
