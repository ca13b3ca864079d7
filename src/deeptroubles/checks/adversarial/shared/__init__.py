"""What several adversarial checks use."""
