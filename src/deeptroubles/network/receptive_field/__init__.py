"""Which pixels a position of a layer can depend on, exactly, borders included.

`field.py` holds the receptive field of a value, `rules.py` says how each operation changes it, and `propagation.py`
carries it through a traced graph.
"""
