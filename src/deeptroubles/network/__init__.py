"""Access to the layers of a classifier: recording, gradients, replaced operations and receptive fields.

`open_network` traces the classifier once into a graph of operations (`torch.export`). A model that cannot be traced is
read through module hooks instead: recording and gradients still work, everything else raises `NeedsGraphError`.
"""

from deeptroubles.network.batch_norm_fusion import fuse_batch_norm, in_fast_layout, optimized
from deeptroubles.network.head import penultimate_features
from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.layer_facts import LayerFacts, list_layers
from deeptroubles.network.layers import LOGITS, PIXELS, Layer, Recorded
from deeptroubles.network.opening import Network, open_network
from deeptroubles.network.outline import Outline, outline, readers
from deeptroubles.network.positions import Grid
from deeptroubles.network.receptive_field.propagation import ReceptiveField
from deeptroubles.network.receptive_field.rules import operation_name
from deeptroubles.network.reduction import layer_reducer, reusing_reducers
from deeptroubles.network.traced import TracedNetwork, name_nodes
from deeptroubles.network.units import is_rectified, unit_layers

__all__ = [
    "LOGITS",
    "PIXELS",
    "Grid",
    "HookedNetwork",
    "Layer",
    "LayerFacts",
    "Network",
    "Outline",
    "ReceptiveField",
    "Recorded",
    "TracedNetwork",
    "fuse_batch_norm",
    "in_fast_layout",
    "is_rectified",
    "layer_reducer",
    "list_layers",
    "name_nodes",
    "open_network",
    "operation_name",
    "optimized",
    "outline",
    "penultimate_features",
    "readers",
    "reusing_reducers",
    "unit_layers",
]
