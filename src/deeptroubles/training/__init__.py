"""Training: from images with labels to a classifier, on this machine.

The loop is plain PyTorch. It is short, and a training that was killed must end with the same bytes when it is resumed,
which depends on the order of random draws and on what is kept when; a framework would hide both.
"""
