"""Exact logits of many local edits of one image, by recomputing only the rectangles of feature maps that change.

`rectangles.py` holds feature maps that differ from those of the unedited image in a rectangle, `steps.py` computes each
operation on such maps, `program.py` turns a traced graph into a list of steps, `running.py` runs it and measures from
which step on whole feature maps are faster, and `local_edits.py` is the interface for methods.
"""

from deeptroubles.network.incremental.local_edits import MIN_EDITS, LocalEdits

__all__ = ["MIN_EDITS", "LocalEdits"]
