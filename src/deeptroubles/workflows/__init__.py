"""What a person starts: one file per command, top to bottom, from a model and images to something to keep."""
