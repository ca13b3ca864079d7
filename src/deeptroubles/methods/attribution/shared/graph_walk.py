"""A walk through a traced graph from the logits back to the pixels, one operation at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from deeptroubles.classifier import Classifier
from deeptroubles.errors import NeedsGraphError
from deeptroubles.methods.attribution.shared.lrp_operations import Shares, Step
from deeptroubles.methods.attribution.shared.lrp_rules import vjp
from deeptroubles.network import TracedNetwork, open_network, operation_name

Backward = Callable[[Step], Shares]
"""From a node with the signal at its output to the signals at its inputs."""
WEIGHTED = {
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("linear", "matmul", "mm", "bmm", "einsum"),
}
"""Operations with weights."""
_BLANK = {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"}
"""Operations that take a shape from their input and no value, as the mask of shifted windows does."""


class GraphWalk:
    """The values of every node for some pixels, and the nodes that depend on these.

    Attributes:
        values: The value of every node.
        signals: The nodes that depend on the pixels, in order.
        preprocessing: Those that come before every layer with weights.
        logits: The node of the logits.
    """

    def __init__(self, network: TracedNetwork, pixels: Tensor) -> None:
        self.pixels = pixels
        nodes = [n for n in network.graph.nodes if n.op != "output"]
        self.values: Mapping[fx.Node, Any] = network.values(pixels, nodes)
        self._input = next(n for n in nodes if n.op == "placeholder")
        self.logits: fx.Node = next(iter(network.graph.find_nodes(op="output"))).all_input_nodes[0]
        self.signals: dict[fx.Node, None] = {self._input: None}
        self.preprocessing: dict[fx.Node, None] = {self._input: None}
        for node in nodes:
            sources = [n for n in node.all_input_nodes if n in self.signals]
            if sources and operation_name(node) not in _BLANK and isinstance(self.values[node], Tensor | tuple | list):
                self.signals[node] = None
                if operation_name(node) not in WEIGHTED and all(n in self.preprocessing for n in sources):
                    self.preprocessing[node] = None

    def back(self, score: Callable[[Tensor], Tensor], backward: Backward) -> tuple[Tensor, Tensor]:
        """The scores (N), and the signal at the pixels (N x C x H x W) when that at the logits is the gradient."""
        logits: Tensor = self.values[self.logits]
        explained = score(logits).detach()
        start = vjp(score, [logits], torch.ones_like(explained))[0]
        return explained, self.back_from(self.logits, start, backward)

    def back_from(self, start: fx.Node, signal: Tensor, backward: Backward) -> Tensor:
        """The signal at the pixels (N x C x H x W) for a signal at a node."""
        arriving = {start: signal}
        for node in reversed(self.signals):
            if node is self._input or node not in arriving:
                continue
            step = self.step(node, arriving.pop(node))
            shares = backward(step)
            for each, part in shares.items():
                arriving[each] = arriving[each] + part if each in arriving else part
            self.account(step, shares)
        return arriving.get(self._input, torch.zeros_like(self.pixels))

    def step(self, node: fx.Node, signal: Tensor) -> Step:
        """A node with the signal at its output."""
        return Step(node, self.values, self.signals, signal, _no_rule, 0.0, node in self.preprocessing)

    def account(self, step: Step, shares: Shares) -> None:
        """Called with the shares of every step; a walk that keeps books overrides it."""


def walked_together(network: TracedNetwork, count: int) -> list[slice]:
    """The images that one walk takes: all, or one where an operation has images elsewhere than in the first dimension.

    A transformer may put its queries, keys and values before the images, or the windows of all images in one row.
    """
    pixels = next(iter(network.graph.find_nodes(op="placeholder")))
    batch, signals = str(pixels.meta["val"].shape[0]), {pixels}
    for node in network.graph.nodes:
        value = node.meta.get("val")
        if (
            node.op == "output"
            or signals.isdisjoint(node.all_input_nodes)
            or not isinstance(value, Tensor | tuple | list)
        ):
            continue
        signals.add(node)
        if isinstance(value, Tensor) and (value.ndim == 0 or str(value.shape[0]) != batch):
            return [slice(i, i + 1) for i in range(count)]
    return [slice(count)]


def open_graph(
    classifier: Classifier, method: str, instead: str = "integrated_gradients or occlusion"
) -> TracedNetwork:
    """The traced network. Raises NeedsGraphError where it could not be traced."""
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise NeedsGraphError(
            f"{method} needs the traced graph, and {classifier.name} could not be traced; use {instead} instead."
        )
    return network


def _no_rule(*_: Any) -> Tensor:
    raise NotImplementedError
