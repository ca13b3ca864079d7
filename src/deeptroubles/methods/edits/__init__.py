"""Edits of one image, as values: what somebody does to an image to ask `what if`.

`kinds.py` holds the edits, `apply_edits.py` applies them, and `response_curve.py` follows predictions over a parameter.
"""
