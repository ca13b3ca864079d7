"""Deliberate attacks that change the prediction, each at a stated budget."""
