"""Small networks with random weights, to train or to compare with."""

from __future__ import annotations

import torch

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, nearest
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.small_networks import NETWORKS
from deeptroubles.models.shared.source import Source

SIZE, CLASSES = 32, 10
"""What is built where no size and no class names are given."""


def load(name: str, overrides: Overrides) -> Classifier:
    """Build the network; its weights are always the same random numbers."""
    if name not in NETWORKS:
        raise ModelError(f"There is no network {name}; choose {', '.join(NETWORKS)}.{nearest(name, NETWORKS)}")
    names, channels = overrides.get("class_names"), overrides.get("channels") or 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = NETWORKS[name](len(names) if names else CLASSES, channels)
    known = {"name": name, "size": SIZE, "channels": channels, "mean": [0.5], "std": [0.25], "outputs": "logits"}
    return build(module.eval(), known, overrides)


SOURCE = Source(
    form="untrained:NAME",
    what=f"a small network with random weights, to train: {', '.join(NETWORKS)}",
    brings="nothing; give the size (default 32) and the class names",
    pattern="untrained:(.+)",
    load=load,
    skeleton=load,
)
