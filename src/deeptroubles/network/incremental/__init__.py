"""Exact answers to many local edits of one image: only the rectangles that change are computed.

`rectangles.py` holds values that are clean except for a rectangle, `steps.py` says how each operation carries such a
value on, `program.py` turns a traced graph into a list of such steps, `running.py` runs it and measures from which step
on whole maps are quicker, and `local_edits.py` is what methods call.
"""
