"""What several attribution methods use."""
