"""A new last layer for other classes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ModelError


def last_layer(classifier: Classifier) -> str:
    """The name of the linear layer (or 1 x 1 convolution) in the module that gives one output per class.

    Of several, the one that runs last.

    Raises:
        ModelError: There is none, such as in an exported program.
    """
    ran: list[str] = []
    hooks = []
    for name, layer in classifier.module.named_modules():
        width = layer.out_features if isinstance(layer, nn.Linear) else getattr(layer, "out_channels", None)
        if isinstance(layer, nn.Linear | nn.Conv2d) and width == classifier.output_count:
            hooks.append(layer.register_forward_hook(lambda *_, name=name: ran.append(name)))
    try:
        with torch.no_grad(), evaluating(classifier):
            classifier(torch.zeros(1, classifier.channels, *classifier.size, device=classifier.device))
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise ModelError(
            f"{classifier.name} has no last layer of its own with one output per class, so it cannot learn other "
            "classes; give a model that is made of torch modules, such as timm:NAME or a function of yours."
        )
    return ran[-1]


def new_head(classifier: Classifier, class_names: list[str], *, seed: int = 0) -> Classifier:
    """A copy of a classifier whose last layer gives other classes; that layer's weights are random.

    Args:
        classifier: A classifier whose last layer is a linear layer or a convolution.
        class_names: The new classes.
        seed: Seed of the layer's weights.

    Raises:
        ModelError: There is no such layer.
    """
    name = last_layer(classifier)
    module = copy.deepcopy(classifier.module)
    parent, _, own = name.rpartition(".")
    old = module.get_submodule(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = _like(old, len(class_names)).to(next(old.parameters()))
    setattr(module.get_submodule(parent), own, new)
    changed = {
        "class_names": class_names,
        "class_aliases": None,
        "outputs": classifier.outputs if classifier.outputs == "probabilities" else "logits",
        "source": classifier.source,
    }
    return Classifier(module, **classifier.settings() | changed)


def _like(old: nn.Module, classes: int) -> nn.Linear | nn.Conv2d:
    biased = getattr(old, "bias", None) is not None
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, classes, bias=biased)
    assert isinstance(old, nn.Conv2d)  # noqa: S101 (`last_layer` looks for these two)
    how: Any = {"kernel_size": old.kernel_size, "stride": old.stride, "padding": old.padding}
    return nn.Conv2d(old.in_channels, classes, **how, bias=biased)
