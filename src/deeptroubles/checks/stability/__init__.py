"""Whether it stays with its answer when nothing that matters changes."""
