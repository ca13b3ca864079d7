"""Whether the prediction stays the same under changes that should not matter."""
