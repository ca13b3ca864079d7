"""Models and images with a known problem: the ground truth for measuring checks.

`scenes.py` draws objects with exact masks on varied backgrounds, `horse.py` draws animals and cars in landscapes,
`photographs.py` prints the horses' tag on photographs, `photo_cues.py` puts other cues on photographs,
`traffic.py` composes road scenes, which `road.py` and `vehicles.py` draw,
`cues.py` adds what a network could rely on instead of the object, `networks.py` trains small networks, `planting.py`
trains one on images with a cue and measures how much it relies on the cue, and `folder.py` writes both as files.
"""

STRENGTH = 0.98
"""The default strength of a planted cue. It stands here so that the command line can name it without PyTorch."""
