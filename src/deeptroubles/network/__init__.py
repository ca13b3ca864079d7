"""A classifier's computation, opened up: its layers, what they see, what they answer, and how to change a rule.

`open_network` traces the classifier once into a graph of operations (`torch.export`). A model that cannot be traced is
read through module hooks instead: recording and gradients still work, what needs the graph says so.
"""

from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.layers import LOGITS, PIXELS, Layer, Recorded
from deeptroubles.network.opening import Network, open_network
from deeptroubles.network.receptive_field.propagation import ReceptiveField
from deeptroubles.network.traced import TracedNetwork

__all__ = [
    "LOGITS",
    "PIXELS",
    "HookedNetwork",
    "Layer",
    "Network",
    "ReceptiveField",
    "Recorded",
    "TracedNetwork",
    "open_network",
]
