"""Surgery: a classifier with a part replaced, to be trained again. The original is left as it was."""
