"""Normalize a traced graph: freeze the weights, and write equivalent operations in one way."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, fx

_aten = torch.ops.aten


def normalize_graph(module: fx.GraphModule, weights: Collection[str]) -> None:
    """Freeze the weights (still shared); write every batch normalization and every rectifier as a single operation.

    The logit of a sigmoid becomes the sigmoid's input, and the logarithm of a softmax a log-softmax: both would lose
    the gradient where the sigmoid or softmax is saturated. `copy` (assignment to a part of a tensor) is replaced by the
    assigned value: PyTorch has no derivative for it. Other names of an operation (`subtract`) become its usual one,
    a product with a constant matrix becomes a linear layer, and assertions about types go.

    Args:
        module: Changed in place.
        weights: Names of parameters and buffers. They may change later, so a zero among them is not a constant.
    """
    for path, parameter in list(module.named_parameters()):
        owner, _, name = path.rpartition(".")
        holder = module.get_submodule(owner)
        delattr(holder, name)
        holder.register_buffer(name, parameter.detach())
    graph = module.graph
    for assertion in graph.find_nodes(op="call_function", target=_aten._assert_tensor_metadata.default):  # noqa: SLF001
        graph.erase_node(assertion)
    for node in list(graph.nodes):
        _normalize_name(node)
        _normalize_matrix_product(graph, node)
        _normalize_rectifier(node, lambda other: _is_zero(module, weights, other))
        if node.target is _aten.copy.default:
            _normalize_copy(node)
        if node.target is _aten.logit.default:
            _normalize_logit(node)
        if node.target is _aten.log.default:
            _normalize_log(node)
        if node.target is operator.getitem and _is_batch_norm(node.args[0]) and node.args[1] == 0:
            _normalize_batch_norm(graph, node)
    graph.eliminate_dead_code()
    module.recompile()


_ALIASES = {
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "concat": "cat",
    "negative": "neg",
}
"""Other names of operations, which PyTorch does not tag as pointwise."""


def _normalize_name(node: fx.Node) -> None:
    packet = getattr(node.target, "overloadpacket", None)
    usual = _ALIASES.get(getattr(packet, "__name__", ""))
    if usual:
        node.target = getattr(getattr(_aten, usual), node.target._overloadname)  # type: ignore[union-attr]  # noqa: SLF001


def _normalize_matrix_product(graph: fx.Graph, node: fx.Node) -> None:
    """`x @ weight` with a constant matrix, and a bias if one is added, becomes `linear(x, weight.T, bias)`."""
    if node.target not in {_aten.matmul.default, _aten.mm.default}:
        return
    x, weight = node.args
    if not isinstance(x, fx.Node) or not isinstance(weight, fx.Node) or weight.op != "get_attr" or x.op == "get_attr":
        return
    known = operator.attrgetter(str(weight.target))(graph.owning_module)
    if known.ndim != 2:
        return
    with graph.inserting_before(node):
        turned = graph.call_function(_aten.t.default, (weight,))
        turned.meta = {**node.meta, "val": known.t()}
    node.target, node.args = _aten.linear.default, (x, turned)
    (reader, *others) = node.users or (None,)
    if others or reader is None or reader.target is not _aten.add.Tensor or reader.kwargs:
        return
    bias = reader.args[1] if reader.args[0] is node else reader.args[0]
    if isinstance(bias, fx.Node) and bias.op == "get_attr":
        added = operator.attrgetter(str(bias.target))(graph.owning_module)
        if added.shape == known.shape[1:]:
            reader.target, reader.args = _aten.linear.default, (x, turned, bias)


def _normalize_rectifier(node: fx.Node, is_zero: Callable[[Any], bool]) -> None:
    """ReLU6 becomes hardtanh with both bounds, clip becomes clamp; threshold(x, 0) and max(x, 0) become relu."""
    if node.target is _aten.relu6.default:
        node.target, node.args = _aten.hardtanh.default, (node.args[0], 0.0, 6.0)
    if node.target is _aten.hardtanh.default:  # the graph omits bounds that equal the defaults, -1 and 1
        node.args = (*node.args, *(-1.0, 1.0)[len(node.args) - 1 :])
    if node.target is _aten.clip.default:
        node.target = _aten.clamp.default
    if node.target is _aten.threshold.default and node.args[1:] == (0, 0):
        node.target, node.args = _aten.relu.default, node.args[:1]
    if node.target in _MAXIMUM and len(node.args) == 2 and not node.kwargs:
        first, second = node.args
        for x, other in ((first, second), (second, first)):
            if is_zero(other) and _same_shape_and_type(x, node):
                node.target, node.args = _aten.relu.default, (x,)
                return


def _normalize_logit(node: fx.Node) -> None:
    """`logit(sigmoid(x))` becomes x, also where the shape changes in between."""
    above = node.args[0]
    while isinstance(above, fx.Node) and above.target in _SHAPING and len(above.users) == 1:
        above = above.args[0]
    if isinstance(above, fx.Node) and above.target is _aten.sigmoid.default and len(above.users) == 1:
        above.replace_all_uses_with(above.all_input_nodes[0])
        node.replace_all_uses_with(node.all_input_nodes[0])


def _normalize_log(node: fx.Node) -> None:
    """`log(softmax(x))` becomes `log_softmax(x)`, also where a lower bound keeps the logarithm finite."""
    above = node.args[0]
    if isinstance(above, fx.Node) and above.target is _aten.clamp_min.default:
        above = above.args[0]
    if isinstance(above, fx.Node) and above.target is _aten.softmax.int:
        node.target, node.args = _aten.log_softmax.int, above.args


def _normalize_copy(node: fx.Node) -> None:
    """`copy(old, new)` becomes `new`, expanded to the shape of `old`."""
    old, new = node.args[:2]
    if not (isinstance(old, fx.Node) and isinstance(new, fx.Node)):
        return
    was, becomes = old.meta["val"], new.meta["val"]
    if was.dtype != becomes.dtype:
        return
    if list(map(str, was.shape)) == list(map(str, becomes.shape)):  # as text: the batch size is symbolic
        node.replace_all_uses_with(new)
    else:
        node.target, node.args = _aten.expand_as.default, (new, old)


_SHAPING = {
    _aten.view.default,
    _aten.reshape.default,
    _aten.flatten.using_ints,
    _aten.squeeze.default,
    _aten.squeeze.dim,
    _aten.squeeze.dims,
    _aten.unsqueeze.default,
    _aten.select.int,
}
_MAXIMUM = {_aten.maximum.default, _aten.max.other, _aten.clamp.Tensor, _aten.clamp_min.Tensor, _aten.clip.Tensor}
"""Operations that return the elementwise maximum of two tensors (when called with two)."""
_COPIES = {
    _aten.clone.default,
    _aten.detach.default,
    _aten.alias.default,
    _aten.expand.default,
    _aten.view.default,
    _aten._to_copy.default,  # noqa: SLF001
    _aten.lift_fresh_copy.default,
}
_ZEROS = {_aten.zeros.default, _aten.zeros_like.default, _aten.new_zeros.default}
_FULL = {_aten.full.default: 1, _aten.full_like.default: 1, _aten.new_full.default: 2, _aten.scalar_tensor.default: 0}
"""Operations that make a constant tensor, and the position of the argument that holds the constant."""


def _is_zero(module: fx.GraphModule, weights: Collection[str], node: Any) -> bool:
    """Whether the value of a node is a constant 0."""
    if not isinstance(node, fx.Node):
        return False
    if node.op == "get_attr":
        constant = operator.attrgetter(str(node.target))(module)
        return node.target not in weights and isinstance(constant, Tensor) and not constant.any().item()
    if node.target in _COPIES:
        return _is_zero(module, weights, node.args[0])
    return node.target in _ZEROS or (node.target in _FULL and bool(node.args[_FULL[node.target]] == 0))


def _same_shape_and_type(x: Any, node: fx.Node) -> bool:
    """Whether broadcasting leaves shape and type unchanged. The batch size is symbolic and not compared."""
    if not isinstance(x, fx.Node):
        return False
    before, after = x.meta["val"], node.meta["val"]
    return before.dtype == after.dtype and list(before.shape[1:]) == list(after.shape[1:])


def _is_batch_norm(node: Any) -> bool:
    return isinstance(node, fx.Node) and node.target is _aten._native_batch_norm_legit_no_training.default  # noqa: SLF001


def _normalize_batch_norm(graph: fx.Graph, node: fx.Node) -> None:
    x, weight, bias, mean, var, momentum, eps = node.args[0].args  # type: ignore[union-attr]
    with graph.inserting_before(node):
        whole = graph.call_function(_aten.batch_norm.default, (x, weight, bias, mean, var, False, momentum, eps, False))
    whole.meta = dict(node.meta)
    node.replace_all_uses_with(whole)
