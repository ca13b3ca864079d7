"""What several stops use: networks that are made once, and drawings for the page."""
