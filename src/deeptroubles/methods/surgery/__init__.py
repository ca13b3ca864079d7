"""Changing a network: a copy with another part, the rest and its weights as they were."""
