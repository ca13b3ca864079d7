"""What several methods of this room use."""
