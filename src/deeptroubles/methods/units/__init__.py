"""What a unit (a channel of a layer, or a class) responds to."""
