"""What the units of a network respond to.

Written by `make generate`.
"""

from deeptroubles.methods.units.activation_atlas import activation_atlas
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.caricature import caricature
from deeptroubles.methods.units.deep_dream import deep_dream
from deeptroubles.methods.units.feature_maps import feature_maps
from deeptroubles.methods.units.filter_statistics import filter_statistics
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.methods.units.maximize_text import maximize_text
from deeptroubles.methods.units.rank_texts import rank_texts
from deeptroubles.methods.units.visualization_trust import visualization_trust

__all__ = [
    "activation_atlas",
    "activation_maximization",
    "caricature",
    "deep_dream",
    "feature_maps",
    "filter_statistics",
    "index_units",
    "maximize_text",
    "rank_texts",
    "visualization_trust",
]
