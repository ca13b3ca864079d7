"""Where the work of an audit runs: in this process, or on a Ray cluster.

Work is a plain function of a subject and some items, mostly rows of images. An engine cuts the items into chunks, keeps
the result of each chunk in the run folder under a key of all that decides it, and never computes it twice. Where
results are merged into one (`reduce`), it keeps that one and how far it has come.
"""

from deeptroubles.engine.engine import Arrays, Engine, MakeEngine, Merge, Work, code_fingerprint, result_key
from deeptroubles.engine.local import LocalEngine
from deeptroubles.engine.named import engine_named

__all__ = [
    "Arrays",
    "Engine",
    "LocalEngine",
    "MakeEngine",
    "Merge",
    "Work",
    "code_fingerprint",
    "engine_named",
    "result_key",
]
