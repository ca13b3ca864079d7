"""Models and images with a known trouble: the ground truth that checks are measured on.

`scenes.py` draws objects with exact masks on varied backgrounds, `cues.py` adds what a network could rely on instead of
the object, `networks.py` trains a network on such images, and `verified.py` measures how far it really relies on the
cue. Nothing here is a photograph, and nothing is read from outside.
"""
