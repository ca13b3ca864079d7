"""What its answers rest on."""
