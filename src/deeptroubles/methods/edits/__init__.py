"""Edits of one image, as values: the steps of a what-if experiment.

`kinds.py` holds the edits, `apply_edits.py` applies them, and `response_curve.py` follows predictions over a parameter.
"""
