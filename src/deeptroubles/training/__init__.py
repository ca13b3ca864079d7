"""Training: from images with labels to a classifier, on this machine.

The loop is plain PyTorch. It is short, and a killed training must go on to the same bytes, which depends on the order
of random draws and on what is kept when; a framework would hide both.
"""
