"""Classifiers that need no learned features: what convolutional networks replaced, to compare them with."""
