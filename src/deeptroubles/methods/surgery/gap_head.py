"""The CAM network: everything up to the last layer with positions, then average pooling and one linear layer."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ModelError, NeedsGraphError, UsageError
from deeptroubles.network import Grid, TracedNetwork, open_network


def gap_head(classifier: Classifier, class_names: Sequence[str], *, seed: int = 0) -> Classifier:
    """Replace all that follows the last layer with positions by global average pooling and one new linear layer.

    The result must be trained before it is of use. Its class activation maps (`attribution.cam`) are exact: the mean of
    a map plus the bias is the logit. The same classifier, number of classes and seed give the same module, so that its
    saved state dict can be loaded into one that is built again.

    Modules keep their behavior in training mode, except that functional dropout is off. In a program of `torch.export`,
    batch normalization always uses its running statistics.

    Args:
        classifier: The classifier; it is copied.
        class_names: The new classes, at least 2.
        seed: Seed of the new layer's weights; the global generator is left unchanged.

    Returns:
        A classifier in eval mode with the same preprocessing. Its module is a `Sequential` of `trunk`, `maps`, `pool`,
        `flat` and `head`.

    Raises:
        ModelError: The model cannot be cut: no layer has positions, or its forward depends on its input's values.
        NeedsGraphError: The classifier could not be traced.
        UsageError: There are fewer than 2 classes.

    References:
        B. Zhou et al.: Learning Deep Features for Discriminative Localization, CVPR 2016.
    """
    if len(class_names) < 2:
        raise UsageError(f"A classifier has at least 2 classes; {len(class_names)} given.")
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise NeedsGraphError(
            f"{classifier.name} could not be traced, so it cannot be cut; train it with its own head."
        )
    last = network.last_with_positions
    grid = network.grid(last.name)
    if grid is None:
        raise ModelError(f"The last layer of {classifier.name}, {last.name!r}, has no positions to average over.")
    module = nn.Sequential(
        OrderedDict(
            trunk=_trunk(classifier, network, last.name),
            maps=nn.Identity() if grid.is_plain else _Maps(grid),
            pool=nn.AdaptiveAvgPool2d(1),
            flat=nn.Flatten(),
            head=_linear(grid.channels_of(last.shape), len(class_names), seed).to(classifier.mean),
        )
    )
    changed = {"class_names": class_names, "class_aliases": None, "output": None, "outputs": "logits"}
    named = {"name": f"{classifier.name} with a GAP head", "source": classifier.source}
    return Classifier(module.eval(), **classifier.settings() | changed | named)


class _Maps(nn.Module):
    """Tokens, or channels that come last, as N x C x height x width."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self._grid = grid

    def forward(self, values: Tensor) -> Tensor:
        return self._grid.maps(values)


class _Search(fx.Interpreter):
    """Runs a module and finds the first node that computes given values."""

    def __init__(self, module: fx.GraphModule, wanted: Tensor) -> None:
        super().__init__(module)
        self.found: fx.Node | None = None
        self._wanted = wanted

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        # Compared at once: a later operation in place may change the value.
        if self.found is None and isinstance(value, Tensor) and value.shape == self._wanted.shape:
            tolerance = 1e-4 * float(self._wanted.abs().max())
            if n.op != "get_attr" and torch.allclose(value, self._wanted, rtol=1e-4, atol=tolerance):
                self.found = n
        return value


def _trunk(classifier: Classifier, network: TracedNetwork, layer: str) -> fx.GraphModule:
    """A copy of the module that ends with a layer. Its modules keep their names."""
    with evaluating(classifier), torch.no_grad():
        module = _as_graph(classifier)
        random = torch.Generator().manual_seed(0)
        shape = (2, classifier.channels, *classifier.size)
        pixels = torch.rand(shape, generator=random).to(classifier.mean)
        wanted = network.record(pixels, [layer]).activations[layer]
        search = _Search(module, wanted)
        search.run((pixels - classifier.mean) / classifier.std)
    if search.found is None:
        raise ModelError(f"{classifier.name} cannot be cut after {layer!r}: no part of its forward returns that layer.")
    return _until(module, search.found)


def _as_graph(classifier: Classifier) -> fx.GraphModule:
    """A copy of the classifier's module as a graph of calls of its modules."""
    module = copy.deepcopy(classifier.module)
    if isinstance(module, fx.GraphModule):
        return module
    try:
        return fx.symbolic_trace(module)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"{classifier.name} cannot be cut, because its forward depends on its input ({reason}); save it with "
            "torch.export and load that program, or train it with its own head."
        ) from error


def _until(module: fx.GraphModule, last: fx.Node) -> fx.GraphModule:
    """The part of a graph up to a node, without the weights that are used later only."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in module.graph.nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if node is last:
            break
    graph.output(copies[last])
    for node in reversed(list(graph.nodes)):
        if node.op == "get_attr" and not node.users:
            graph.erase_node(node)
    return fx.GraphModule(module, graph)


def _linear(inputs: int, outputs: int, seed: int) -> nn.Linear:
    """A linear layer as PyTorch initializes it, from a seed."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)  # type: ignore[no-untyped-call]
    bound = 1 / math.sqrt(inputs)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in (layer.weight, layer.bias):
            values.copy_((2 * torch.rand(values.shape, generator=random) - 1) * bound)
    return layer
