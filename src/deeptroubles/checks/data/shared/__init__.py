"""What several checks of data use."""
