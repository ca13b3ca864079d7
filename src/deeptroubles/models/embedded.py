"""EfficientNet-Lite0 with ImageNet weights, inside the package: a real model that needs no download."""

from __future__ import annotations

from deeptroubles.classifier import Classifier
from deeptroubles.embedded import embedded_module, embedded_settings
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source


def load(_name: str, overrides: Overrides) -> Classifier:
    """Load the embedded model; the name is always `efficientnet-lite0`."""
    return build(embedded_module(), embedded_settings(), overrides)


def skeleton(_name: str, overrides: Overrides) -> Classifier:
    """The same network with random weights."""
    return build(embedded_module(trained=False), embedded_settings(), overrides)


SOURCE = Source(
    form="efficientnet-lite0",
    what="EfficientNet-Lite0 trained on ImageNet (75.1% top-1), inside the package: works without a network",
    brings="weights, preprocessing, class names",
    pattern="(efficientnet-lite0)",
    load=load,
    skeleton=skeleton,
)
