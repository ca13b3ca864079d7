"""The network as a small graph of the layers whose units are analyzed, and the weights between them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor, fx

from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.layers import PIXELS, Layer
from deeptroubles.network.opening import Network
from deeptroubles.network.receptive_field.rules import is_pointwise
from deeptroubles.network.traced import OPERATIONS, TracedNetwork, name_nodes
from deeptroubles.network.units import unit_layers

_POOLS = {"adaptive_avg_pool2d", "avg_pool2d", "max_pool2d", "mean", "amax"}
_RESHAPES = {"view", "reshape", "flatten", "squeeze", "_unsafe_view"}


@dataclass(frozen=True)
class Outline:
    """The layers whose units are analyzed, and how they are connected.

    Attributes:
        layers: The layers, in the order in which they are computed.
        kinds: What computes each: `convolution`, `depthwise convolution`, `linear` or `sum` (the end of a residual
            block); '' where the network could not be traced.
        edges: Names of a layer (or `pixels`) and of one that reads it with no other of these layers between them; none
            where the network could not be traced.
    """

    layers: tuple[Layer, ...]
    kinds: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reader:
    """A layer that reads the units of another through one matrix of weights.

    Attributes:
        layer: Its name.
        weights: Units of it x units of the other.
    """

    layer: str
    weights: Tensor


def outline(network: Network) -> Outline:
    """The layers whose units are analyzed, and how they are connected; what lies between them is left out."""
    layers = unit_layers(network)
    if isinstance(network, HookedNetwork):
        return Outline(layers, ("",) * len(layers), ())
    nodes = _nodes(network, layers)
    sources = _sources(network.graph, nodes)
    kinds = {name: _kind(starts[-1]) for name, starts in _starts(nodes, sources).items()}
    edges = [
        (source, name)
        for node, name in nodes.items()
        for source in dict.fromkeys(s for read in node.all_input_nodes for s in sources[read])
        if source != name
    ]
    return Outline(layers, tuple(kinds[layer.name] for layer in layers), tuple(edges))


def readers(network: Network, layer: str) -> list[Reader]:
    """The layers that read a layer's units through a linear map or a 1 x 1 convolution.

    Between the two there may be pointwise operations, pooling over positions, and a change of shape that keeps the
    units apart. Empty where there is none, and where the network could not be traced.

    Args:
        network: The network.
        layer: Name of a layer.
    """
    node = None if isinstance(network, HookedNetwork) else name_nodes(network.graph).get(layer)
    if node is None or isinstance(network, HookedNetwork):
        return []
    nodes = _nodes(network, unit_layers(network))
    units = network.layer(layer).units
    found = []
    for name, starts in _starts(nodes, _sources(network.graph, nodes)).items():
        for start in starts:
            if _is_matrix(start) and _reads(start, node, units, nodes):
                weights = _weight(network, start)
                if weights.shape[1] == units:
                    found.append(Reader(name, weights.flatten(1).detach()))
    return found


def _nodes(network: TracedNetwork, layers: tuple[Layer, ...]) -> dict[fx.Node, str]:
    by_name = name_nodes(network.graph)
    return {by_name[layer.name]: layer.name for layer in layers}


def _sources(graph: fx.Graph, nodes: dict[fx.Node, str]) -> dict[fx.Node, tuple[str, ...]]:
    """For every node the layers (or the pixels) whose values it is made of, with no other layer between."""
    found: dict[fx.Node, tuple[str, ...]] = {}
    for node in graph.nodes:
        if node in nodes:
            found[node] = (nodes[node],)
        elif node.op == "placeholder":
            found[node] = (PIXELS,)
        elif not isinstance(node.meta.get("val"), Tensor):  # such as the number of images, which carries no values
            found[node] = ()
        else:
            found[node] = tuple(dict.fromkeys(s for read in node.all_input_nodes for s in found[read]))
    return found


def _starts(nodes: dict[fx.Node, str], sources: dict[fx.Node, tuple[str, ...]]) -> dict[str, list[fx.Node]]:
    """For every layer the operations with weights (or the sum) that its chain begins with, the last one last."""
    weighted = OPERATIONS["conv2d"] | OPERATIONS["linear"]
    found: dict[str, list[fx.Node]] = {}
    for end, name in nodes.items():
        stack, inside = [end], list[fx.Node]()
        while stack:
            node = stack.pop()
            if node in inside or (node in nodes and node is not end) or not sources[node]:
                continue
            inside.append(node)
            stack += [] if node.target in weighted else node.all_input_nodes
        starts = [node for node in reversed(inside) if node.target in weighted]
        found[name] = starts or [end]
    return found


def _kind(start: fx.Node) -> str:
    if start.target in OPERATIONS["linear"]:
        return "linear"
    if start.target not in OPERATIONS["conv2d"]:
        return "sum"
    groups = start.args[6] if len(start.args) > 6 else 1
    return "depthwise convolution" if groups == start.meta["val"].shape[1] and groups != 1 else "convolution"


def _is_matrix(node: fx.Node) -> bool:
    """Whether a node multiplies units by one matrix at every position."""
    if node.target in OPERATIONS["linear"]:
        return True
    if node.target not in OPERATIONS["conv2d"] or not isinstance(node.args[1], fx.Node):
        return False
    kernel = node.args[1].meta["val"].shape
    return tuple(kernel[2:]) == (1, 1) and bool(len(node.args) < 7 or node.args[6] == 1)


def _reads(start: fx.Node, node: fx.Node, units: int, others: Collection[fx.Node]) -> bool:
    """Whether the input of a node is another node's value, whose units stayed apart on the way."""
    read = start.args[0]
    while isinstance(read, fx.Node) and read is not node:
        inputs = [n for n in read.all_input_nodes if n.op != "get_attr" and isinstance(n.meta.get("val"), Tensor)]
        if read in others or len(inputs) != 1 or not _keeps_units(read, units):
            return False
        read = inputs[0]
    return read is node


def _keeps_units(node: fx.Node, units: int) -> bool:
    shape, (read, *_) = node.meta["val"].shape, node.all_input_nodes
    before = read.meta["val"].shape
    axis, axis_before = (1 if len(s) in {2, 4} else -1 for s in (shape, before))
    if shape[axis] != units or before[axis_before] != units:
        return False
    name = str(getattr(node.target, "__name__", node.target)).split(".")[0]
    alone = len(before) != 4 or before[2] * before[3] == 1
    return is_pointwise(node) or name in _POOLS or (name in _RESHAPES and alone)


def _weight(network: TracedNetwork, start: fx.Node) -> Tensor:
    """The weights of an operation, also where a parametrization computes them."""
    classifier = network.classifier
    pixels = classifier.mean.new_full((1, classifier.channels, *classifier.size), 0.5)
    weight: Tensor = network.values(pixels, [start.args[1]])[start.args[1]]  # type: ignore[list-item, index]
    return weight
