"""Which layers of a network are trained."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.methods.surgery.new_head import last_layer

Depth = Literal["none", "head", "last", "all"]
"""Nothing; the last layer alone; the last stage, from where maps have their final size; or everything."""


def train_only(classifier: Classifier, depth: Depth) -> list[nn.Parameter]:
    """Make the parameters of these layers require gradients, and no others; gives those of the last layer."""
    head = list(classifier.module.get_submodule(last_layer(classifier)).parameters())
    trained = {
        "head": lambda: head,
        "last": lambda: [p for layer in _last_stage(classifier) for p in layer.parameters(recurse=False)],
        "all": lambda: list(classifier.module.parameters()),
    }[depth]()
    chosen = {id(parameter) for parameter in trained}
    for parameter in classifier.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return head


def _last_stage(classifier: Classifier) -> list[nn.Module]:
    """The layers with weights that run after the last one whose maps are larger than the final ones."""
    ran: list[tuple[nn.Module, int]] = []

    def note(layer: nn.Module, _given: Any, returned: Any) -> None:
        positions = returned.shape[2:].numel() if isinstance(returned, Tensor) and returned.ndim == 4 else 0
        ran.append((layer, positions))

    layers = [m for m in classifier.module.modules() if list(m.parameters(recurse=False))]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad(), evaluating(classifier):
            classifier(torch.zeros(1, classifier.channels, *classifier.size, device=classifier.device))
    finally:
        for hook in hooks:
            hook.remove()
    final = next((positions for _, positions in reversed(ran) if positions > 1), 0)
    larger = [i for i, (_, positions) in enumerate(ran) if positions > final]
    return [layer for layer, _ in ran[larger[-1] + 1 if larger else 0 :]]
