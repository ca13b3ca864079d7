"""The traced network: a graph of operations, any part of which can be run, recorded, differentiated or replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import ModelError, nearest
from deeptroubles.network.differentiation import gradients_of
from deeptroubles.network.graph_normalization import normalize_graph
from deeptroubles.network.layers import LOGITS, PIXELS, Layer, LayerTable, Recorded, Score
from deeptroubles.network.positions import Grid, bottlenecks, find_grids
from deeptroubles.network.receptive_field.propagation import ReceptiveField, propagate

_aten = torch.ops.aten
OPERATIONS: dict[str, set[Any]] = {
    "relu": {_aten.relu.default, _aten.hardtanh.default, _aten.clamp_min.default, _aten.clamp.default},
    "max_pool2d": {_aten.max_pool2d.default, _aten.max_pool2d_with_indices.default},
    "conv2d": {_aten.conv2d.default, _aten.conv2d.padding},
    "linear": {_aten.linear.default},
    "batch_norm": {_aten.batch_norm.default},
}


class TracedNetwork:
    """A classifier as one graph of functional operations over pixels in [0, 1].

    In-place operations, functional activations and modules that are called several times are ordinary nodes. The graph
    shares the classifier's weights but computes no gradients for them, so `.grad` is never set.
    """

    def __init__(self, classifier: Classifier, graph_module: fx.GraphModule) -> None:
        self.classifier = classifier
        self.device = classifier.device
        self._root = graph_module
        self._nodes = name_nodes(graph_module.graph)
        self.table = LayerTable([_layer(name, node) for name, node in self._nodes.items()])
        self._pixels: fx.Node = next(n for n in graph_module.graph.nodes if n.op == "placeholder")
        self._logits: fx.Node = next(iter(graph_module.graph.find_nodes(op="output"))).all_input_nodes[0]
        self._parts: dict[tuple[tuple[fx.Node, ...], tuple[fx.Node, ...]], fx.GraphModule] = {}
        self._fields: dict[fx.Node, Any] | None = None

    @property
    def graph(self) -> fx.Graph:
        """The graph of operations, to be read. Use `rewritten` to change a copy of it."""
        return self._root.graph

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, in the order in which they are computed."""
        return self.table.layers

    def layer(self, name: str) -> Layer:
        """The layer of that name, or `logits`. Raises ModelError with the nearest names when there is none."""
        return Layer(LOGITS, (self.classifier.classes,), "logits") if name == LOGITS else self.table[name]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (N x C x H x W) to logits (N x K), differentiable."""
        logits: Tensor = self._part((self._pixels,), (self._logits,))(pixels)[0]
        return logits

    def activations(self, pixels: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The outputs of layers, differentiable with respect to the pixels. Later layers are not computed."""
        kept = self._part((self._pixels,), tuple(self._node(name) for name in layers))(pixels)
        return dict(zip(layers, kept, strict=True))

    def record(self, pixels: Tensor, layers: Sequence[str]) -> Recorded:
        """One forward pass that keeps the outputs of `layers` (names; `pixels` is the input itself)."""
        nodes = [self._node(name) for name in layers]
        with torch.no_grad():
            logits, *kept = self._part((self._pixels,), (self._logits, *nodes))(pixels)
        return Recorded(logits, dict(zip(layers, kept, strict=True)))

    def values(self, pixels: Tensor, nodes: Sequence[fx.Node]) -> dict[fx.Node, Any]:
        """The values of nodes for some pixels: activations, weights, and sizes (which are not tensors)."""
        with torch.no_grad():
            return dict(zip(nodes, self._part((self._pixels,), tuple(nodes))(pixels), strict=True))

    def gradients(self, pixels: Tensor, layers: Sequence[str], score: Score) -> tuple[Recorded, dict[str, Tensor]]:
        """Gradients of a score with respect to layers, computed backward only as far as the first of them.

        Args:
            pixels: N x C x H x W, in [0, 1].
            layers: Names; `pixels` is the input itself.
            score: Maps logits (N x K) to one number per image, or to a scalar.

        Returns:
            The recorded logits and activations, and one gradient per layer, shaped like its activation. Works under
            `no_grad` and with frozen weights.
        """
        asked = [self._node(name) for name in layers]
        after = self._depending_on(asked)
        roots = [node for node in asked if node not in after]
        frontier = list(roots)
        for node in after:
            frontier += [n for n in node.all_input_nodes if n not in after and n not in frontier and n.op != "get_attr"]
        with torch.inference_mode(mode=False):
            with torch.no_grad():
                values = list(self._part((self._pixels,), tuple(frontier))(pixels.clone()))
            values = [
                v.detach().requires_grad_(n in roots) if isinstance(v, Tensor) else v
                for n, v in zip(frontier, values, strict=True)
            ]
            with torch.enable_grad():
                logits, *kept = self._part(tuple(frontier), (self._logits, *asked))(*values)
                gradients = gradients_of(score(logits), kept)
        recorded = Recorded(logits.detach(), {k: v.detach() for k, v in zip(layers, kept, strict=True)})
        return recorded, dict(zip(layers, gradients, strict=True))

    def rest(self, layer: str, pixels: Tensor) -> Callable[[Tensor], Tensor]:
        """The network after a layer: a differentiable function from the layer's output to logits (N x K).

        Other inputs from before the layer (the other branch of a residual block) are computed once, for these pixels,
        and stay fixed.

        Args:
            layer: A name; `pixels` is the input itself.
            pixels: N x C x H x W, in [0, 1]; the function takes N outputs of the layer.
        """
        node = self._node(layer)
        after = self._depending_on([node])
        taken = {n for user in after for n in user.all_input_nodes if n is not node and n not in after}
        around = tuple(n for n in self._root.graph.nodes if n in taken and n.op != "get_attr")
        with torch.inference_mode(mode=False):
            known = self.values(pixels.clone(), around)
        part = self._part((node, *around), (self._logits,))

        def logits(activations: Tensor) -> Tensor:
            result: Tensor = part(activations, *known.values())[0]
            return result

        return logits

    def with_rule(self, operation: str, rule: Callable[..., Tensor]) -> TracedNetwork:
        """A network in which every `operation` is computed by `rule`, which takes the arguments of the operation.

        For guided backpropagation, for instance, `with_rule("relu", GuidedReLU.apply)`. The network itself is
        unchanged.

        Args:
            operation: One of `OPERATIONS`: relu (every rectifier, also ReLU6), max_pool2d, conv2d, linear, batch_norm.
            rule: The replacement.

        Raises:
            ModelError: The operation is not one that can be replaced.
        """
        if operation not in OPERATIONS:
            raise ModelError(f"There is no operation {operation!r} to replace.{nearest(operation, OPERATIONS)}")

        def replaced(*arguments: Any) -> Tensor:
            return rule(*arguments)

        def change(module: fx.GraphModule) -> None:
            for node in module.graph.nodes:
                if _computes(operation, node):
                    node.target = replaced

        return self.rewritten(change)

    def count(self, operation: str) -> int:
        """How many nodes compute one of `OPERATIONS`: how many `with_rule` would replace."""
        return sum(_computes(operation, node) for node in self._root.graph.nodes)

    def rewritten(self, change: Callable[[fx.GraphModule], None]) -> TracedNetwork:
        """A network whose graph is a copy of this one's, changed in place by `change`. Weights stay shared."""
        graph = fx.Graph()
        graph.output(graph.graph_copy(self._root.graph, {}))
        module = fx.GraphModule(self._root, graph)
        change(module)
        module.recompile()
        return TracedNetwork(self.classifier, module)

    def receptive_field(self, layer: str) -> ReceptiveField:
        """The pixels that each position of a layer can depend on: size, stride, offset, and an exact box."""
        if self._fields is None:
            self._fields = propagate(self._root.graph)
        return ReceptiveField.of(self._fields[self._node(layer)], self.classifier.size)

    def grid(self, layer: str) -> Grid | None:
        """How the image positions of a layer's output are arranged; None if it has none, or only one."""
        return self._grids.get(self._node(layer))

    @cached_property
    def last_with_positions(self) -> Layer:
        """The deepest layer with positions through which all information passes, and on which the logits depend.

        The last patches of a transformer that reads its class token have no effect on the logits; what a residual block
        adds is only a part of the information. Where no such layer exists, as with two branches that are joined after
        pooling, or where it comes before most of the computation, it is the deepest one on which the logits depend.

        Raises:
            ModelError: No layer has more than one position, or all come before most of the computation.
        """
        spatial = [layer for layer in reversed(self.layers) if self._nodes[layer.name] in self._grids]
        if not spatial:
            raise ModelError("No layer of this model has image positions; use occlusion instead.")
        through = bottlenecks(self.graph)
        whole = self._first_with_effect(layer for layer in spatial if self._nodes[layer.name] in through)
        if whole and not self.table.is_early(whole):
            return whole
        return self.table.not_early(self._first_with_effect(spatial) or whole or spatial[0])

    def _first_with_effect(self, layers: Iterable[Layer]) -> Layer | None:
        """The first layer on whose positions the logits depend, as far as gradients show."""
        generator = torch.Generator().manual_seed(0)
        pixels = torch.rand(2, self.classifier.channels, *self.classifier.size, generator=generator).to(
            self.classifier.mean
        )
        weights = torch.linspace(1, 2, self.classifier.classes).to(self.classifier.mean)
        tried = set[fx.Node]()
        for layer in layers:
            node = self._nodes[layer.name]
            if node not in tried:
                gradients = self.gradients(pixels, [layer.name], lambda logits: logits @ weights)[1][layer.name]
                if self._grids[node].maps(gradients).any():
                    return layer
            tried.add(node)
        return None

    @cached_property
    def _grids(self) -> dict[fx.Node, Grid]:
        pixels = self.classifier.mean.new_full((1, self.classifier.channels, *self.classifier.size), 0.5)
        with evaluating(self.classifier):
            return find_grids(self._root, pixels)

    def _node(self, name: str) -> fx.Node:
        ends = {PIXELS: self._pixels, LOGITS: self._logits}
        return ends[name] if name in ends else self._nodes[self.table[name].name]

    def _depending_on(self, roots: Sequence[fx.Node]) -> dict[fx.Node, None]:
        """The nodes that depend on `roots`, in order."""
        found: dict[fx.Node, None] = {}
        for node in self._root.graph.nodes:
            if node.op != "output" and any(n in found or n in roots for n in node.all_input_nodes):
                found[node] = None
        return found

    def _part(self, inputs: tuple[fx.Node, ...], outputs: tuple[fx.Node, ...]) -> fx.GraphModule:
        """The part of the graph that computes `outputs` from `inputs`, built once."""
        key = (inputs, outputs)
        if key not in self._parts:
            needed, stack = set[fx.Node](), list(outputs)
            while stack:
                node = stack.pop()
                if node not in needed:
                    needed.add(node)
                    stack += [] if node in inputs else node.all_input_nodes
            graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
            for i, node in enumerate(inputs):
                copies[node] = graph.placeholder(f"input_{i}")
            for node in self._root.graph.nodes:
                if node in needed and node not in copies:
                    copies[node] = graph.node_copy(node, lambda n: copies[n])
            graph.output(tuple(copies[node] for node in outputs))
            self._parts[key] = fx.GraphModule(self._root, graph)
        return self._parts[key]


def trace(classifier: Classifier) -> TracedNetwork:
    """Trace a classifier for any batch size at its input size. Raises whatever `torch.export` raises."""
    pixels = classifier.mean.new_full((2, classifier.channels, *classifier.size), 0.5)
    with evaluating(classifier), torch.no_grad():
        program = torch.export.export(classifier, (pixels,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        module = program.run_decompositions({}).module(check_guards=False)
    if not isinstance(module, fx.GraphModule):
        raise TypeError("torch.export gave no graph")
    every = (*classifier.named_parameters(remove_duplicate=False), *classifier.named_buffers(remove_duplicate=False))
    normalize_graph(module, weights={name for name, _ in every})
    return TracedNetwork(classifier, module)


def _computes(operation: str, node: fx.Node) -> bool:
    """Whether a node is one of `OPERATIONS`. A clamp is a rectifier only if its lower bound is 0."""
    low = node.args[1] if len(node.args) > 1 else 0
    return node.target in OPERATIONS[operation] and (operation != "relu" or (isinstance(low, int | float) and low == 0))


def name_nodes(graph: fx.Graph) -> dict[str, fx.Node]:
    """Name the nodes of a traced graph by module paths, in the order in which they are computed.

    The name of a module refers to the last value computed in one call of it that is used outside the call. If several
    names refer to one value (a block and its last activation), all of them are kept.
    """
    compute = [n for n in graph.nodes if n.op == "call_function" and isinstance(n.meta.get("val"), Tensor)]
    names: dict[fx.Node, list[str]] = {node: [] for node in compute}
    ends: dict[str, fx.Node] = {}
    for node in compute:
        for call in _calls(node):
            if any(call not in _calls(user) for user in node.users):
                ends[call] = node
    for call, node in ends.items():
        names[node].append(call)
    counts: dict[str, int] = {}
    for node in compute:
        if not names[node]:
            inside = _calls(node)
            name = f"{inside[-1] if inside else ''}:{_operation(node)}"
            counts[name] = counts.get(name, 0) + 1
            names[node].append(name if counts[name] == 1 else f"{name}@{counts[name] - 1}")
    # Innermost names first: the name of the block is the last one of a value.
    return {name: node for node in compute for name in sorted(names[node], key=lambda n: -n.count("."))}


def _calls(node: fx.Node) -> list[str]:
    """The module calls that a node is computed in, outermost first, as module paths."""
    calls = []
    for key, (path, _) in (node.meta.get("nn_module_stack") or {}).items():
        _, _, repeat = key.partition("@")
        inside = path.removeprefix("module").removeprefix(".")
        if path.startswith("module") and inside:
            calls.append(f"{inside}@{repeat}" if repeat else inside)
    return calls


def _operation(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).split(".")[0].strip("_")


def _layer(name: str, node: fx.Node) -> Layer:
    return Layer(name, tuple(int(s) for s in node.meta["val"].shape[1:]), _operation(node))
