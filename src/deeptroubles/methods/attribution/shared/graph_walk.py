"""A walk through a traced graph from the logits back to the pixels, one operation at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, NeedsGraphError
from deeptroubles.methods.attribution.shared.lrp_operations import Shares, Step, operation_name
from deeptroubles.methods.attribution.shared.lrp_rules import vjp
from deeptroubles.network import TracedNetwork, open_network

Backward = Callable[[Step], Shares]
"""From a node with the signal at its output to the signals at its inputs."""
_WEIGHTED = {"conv2d", "linear"}


class GraphWalk:
    """The values of every node for some pixels, and the nodes that depend on these.

    Attributes:
        values: The value of every node.
        signals: The nodes that depend on the pixels, in order.
        preprocessing: Those that come before every layer with weights.
    """

    def __init__(self, network: TracedNetwork, pixels: Tensor) -> None:
        self.pixels = pixels
        nodes = [n for n in network.graph.nodes if n.op != "output"]
        self.values: Mapping[fx.Node, Any] = network.values(pixels, nodes)
        self._input = next(n for n in nodes if n.op == "placeholder")
        self._logits: fx.Node = next(iter(network.graph.find_nodes(op="output"))).all_input_nodes[0]
        self.signals: dict[fx.Node, None] = {self._input: None}
        self.preprocessing: dict[fx.Node, None] = {self._input: None}
        for node in nodes:
            sources = [n for n in node.all_input_nodes if n in self.signals]
            if sources and isinstance(self.values[node], Tensor | tuple | list):
                self.signals[node] = None
                if operation_name(node) not in _WEIGHTED and all(n in self.preprocessing for n in sources):
                    self.preprocessing[node] = None

    def back(self, score: Callable[[Tensor], Tensor], backward: Backward) -> tuple[Tensor, Tensor]:
        """The scores (N), and the signal at the pixels (N x C x H x W) when that at the logits is the gradient.

        Raises:
            ModelError: An operation has the images in another dimension than the first.
        """
        logits: Tensor = self.values[self._logits]
        explained = score(logits).detach()
        arriving = {self._logits: vjp(score, [logits], torch.ones_like(explained))[0]}
        for node in reversed(self.signals):
            if node is self._input or node not in arriving:
                continue
            signal, known = arriving.pop(node), node in self.preprocessing
            step = Step(node, self.values, self.signals, signal, _no_rule, 0.0, known)
            for each, part in backward(step).items():
                if len(part) != len(self.pixels):
                    raise ModelError(
                        f"This method needs images in the first dimension, and {each.name} has them elsewhere (as in "
                        "some transformers); use integrated_gradients or occlusion instead."
                    )
                arriving[each] = arriving[each] + part if each in arriving else part
        return explained, arriving.get(self._input, torch.zeros_like(self.pixels))


def open_graph(classifier: Classifier, method: str) -> TracedNetwork:
    """The traced network. Raises NeedsGraphError where it could not be traced."""
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise NeedsGraphError(
            f"{method} needs the traced graph, and {classifier.name} could not be traced; use integrated_gradients or "
            "occlusion instead."
        )
    return network


def _no_rule(*_: Any) -> Tensor:
    raise NotImplementedError
