"""Receptive fields: the pixels that a position of a layer can depend on, exact at the borders.

`field.py` holds the receptive field of a value, `rules.py` computes it for each operation, and `propagation.py` for all
nodes of a traced graph.
"""
