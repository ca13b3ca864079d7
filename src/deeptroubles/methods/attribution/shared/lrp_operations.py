"""Backward propagation of relevance through each operation of a traced network, one small function each."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional

from deeptroubles.errors import ModelError
from deeptroubles.methods.attribution.shared.lrp_rules import Contributions, Rule, Weighted, divided, vjp

Shares = dict[fx.Node, Tensor]


@dataclass(frozen=True)
class Step:
    """One node with the relevance of its output, to be propagated to its inputs.

    Attributes:
        node: The node.
        values: The value of every node.
        signals: The nodes that depend on the pixels. All others are constants and absorb their relevance.
        relevance: Relevance of the node's output.
        rule: For layers with weights.
        epsilon: For sums, means and normalizations.
        is_preprocessing: Whether the node comes before every layer with weights.
    """

    node: fx.Node
    values: Mapping[fx.Node, Any]
    signals: Mapping[fx.Node, None]
    relevance: Tensor
    rule: Rule
    epsilon: float
    is_preprocessing: bool

    @property
    def source(self) -> fx.Node:
        """The node that computes: the node itself, or the one of whose outputs it selects."""
        first = self.node.args[0]
        return first if self.node.target is operator.getitem and isinstance(first, fx.Node) else self.node

    @property
    def inputs(self) -> list[fx.Node]:
        """The inputs that depend on the pixels, each once."""
        return [n for n in self.source.all_input_nodes if n in self.signals]

    def argument(self, index: int, name: str = "", default: Any = None) -> Any:
        """The value of one argument."""
        args = self.source.args
        given = args[index] if len(args) > index else self.source.kwargs.get(name, default)
        return self.values[given] if isinstance(given, fx.Node) else given

    def compute(self, *inputs: Tensor) -> Tensor:
        """The operation itself, with other values for its inputs."""
        replaced = dict(zip(self.inputs, inputs, strict=True))
        get = lambda n: replaced[n] if n in replaced else self.values[n]  # noqa: E731
        args, kwargs = fx.map_arg(self.source.args, get), fx.map_arg(self.source.kwargs, get)
        output: Any = self.source.target(*args, **kwargs)  # type: ignore[operator, misc, unused-ignore]
        result: Tensor = output if self.source is self.node else output[self.node.args[1]]
        return result


def propagate(step: Step) -> Shares:
    """The relevance of each input of a node.

    Raises:
        ModelError: There is no rule for the operation.
    """
    name = operation_name(step.source)
    if name not in _OPERATIONS:
        raise ModelError(
            f"LRP has no rule for {name!r} (at {step.node.name}), and a guess would give a wrong map; use "
            "integrated_gradients or occlusion instead."
        )
    return _OPERATIONS[name](step)


def operation_name(node: fx.Node) -> str:
    """The name of an operation without its overload, e.g. `conv2d`."""
    target = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(target, "__name__", target))


def _move(step: Step) -> Shares:
    """Views, permutations, concatenations, slices and maxima: relevance goes to where the value came from."""
    return _named(step, vjp(step.compute, _values(step), step.relevance))


def _pass(step: Step) -> Shares:
    """Activations that keep the sign, copies: one to one."""
    return {step.inputs[0]: step.relevance}


def _split(step: Step) -> Shares:
    """Sums and means: proportional to the summands, with epsilon. Constants absorb their share."""
    if step.is_preprocessing and len(step.inputs) == 1 and step.values[step.inputs[0]].shape == step.relevance.shape:
        return _pass(step)
    inputs = _values(step)
    factors = divided(step.relevance, step.compute(*inputs), step.epsilon)
    signals = vjp(step.compute, inputs, factors)
    return _named(step, [x * signal for x, signal in zip(inputs, signals, strict=True)])


def _convolution(step: Step) -> Shares:
    options = [
        step.argument(3, "stride", 1),
        step.argument(4, "padding", 0),
        step.argument(5, "dilation", 1),
        step.argument(6, "groups", 1),
    ]
    return _weighted(step, lambda x, w: functional.conv2d(x, w, None, *options), (-1, 1, 1))


def _linear(step: Step) -> Shares:
    return _weighted(step, functional.linear, (-1,))


def _weighted(step: Step, apply: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> Shares:
    if len(step.inputs) != 1 or step.inputs[0] is not step.node.args[0]:
        raise ModelError(f"LRP cannot explain weights that depend on the image (at {step.node.name}); use occlusion.")
    x, weight, bias = step.argument(0), step.argument(1), step.argument(2, "bias")
    bias = torch.zeros(1).to(x) if bias is None else bias
    return {step.inputs[0]: step.rule(Weighted(apply, x, weight, bias.view(shape)), step.relevance)}


def _batch_norm(step: Step) -> Shares:
    """A batch normalization that could not be fused: a layer with one weight per channel."""
    if step.is_preprocessing:
        return _pass(step)
    x, scale, shift, mean, variance = (step.argument(i) for i in range(5))
    weight = torch.rsqrt(variance + step.argument(7)) * (1 if scale is None else scale)
    bias = -mean * weight + (0 if shift is None else shift)
    shape = (-1, *[1] * (x.ndim - 2))
    return {
        step.inputs[0]: step.rule(Weighted(lambda v, w: v * w.view(shape), x, weight, bias.view(shape)), step.relevance)
    }


def _layer_norm(step: Step) -> Shares:
    x, shape, eps = step.argument(0), step.argument(1), step.argument(4, "eps", 1e-5)
    dims = tuple(range(-len(shape), 0))
    return _normalized(step, x, dims, torch.rsqrt(x.var(dims, correction=0, keepdim=True) + eps))


def _group_norm(step: Step) -> Shares:
    x, groups = step.argument(0), step.argument(1)
    apart = x.unflatten(1, (groups, -1))
    dims = tuple(range(2, apart.ndim))
    factor = torch.rsqrt(apart.var(dims, correction=0, keepdim=True) + step.argument(4, "eps", 1e-5))
    return _normalized(step, apart, dims, factor)


def _normalized(step: Step, x: Tensor, dims: tuple[int, ...], factor: Tensor) -> Shares:
    """A normalization with its standard deviation as a constant: centering, then one weight per channel."""
    weight = step.argument(2, "weight")
    kept: Tensor = step.argument(0)
    scale: Tensor | float = 1.0
    if weight is not None:
        scale = weight if operation_name(step.source) == "layer_norm" else weight.view(-1, *[1] * (kept.ndim - 2))

    def apply(v: Tensor) -> Tensor:
        apart = v.view(x.shape)
        return ((apart - apart.mean(dims, keepdim=True)) * factor).view(kept.shape) * scale

    return {
        step.inputs[0]: Contributions((apply, kept)).share(divided(step.relevance, step.compute(kept), step.epsilon))
    }


def _gate(step: Step) -> Shares:
    """A product: the signal gets all relevance, the gate none.

    The gate is the factor that is the output of a sigmoid or a softmax, or the one that is constant over positions
    (squeeze-and-excitation). A constant factor only scales.
    """
    if len(step.inputs) == 1:
        if len(step.source.all_input_nodes) < 2 and all(isinstance(a, fx.Node) for a in step.source.args):
            raise _ambiguous(step)  # x * x
        return _pass(step) if step.values[step.inputs[0]].shape == step.relevance.shape else _move(step)
    gates = [n for n in step.inputs if _is_gate(n) or step.values[n].numel() < step.relevance.numel()]
    if len(gates) != 1:
        raise _ambiguous(step)
    return {n: step.relevance for n in step.inputs if n not in gates}


def _quotient(step: Step) -> Shares:
    """A division, with the denominator as a constant."""
    numerator = step.source.args[0]
    if numerator not in step.inputs or step.argument(0).shape != step.relevance.shape:
        raise _ambiguous(step)
    return {numerator: step.relevance}  # type: ignore[dict-item]


def _ambiguous(step: Step) -> ModelError:
    return ModelError(
        f"LRP cannot distinguish the signal from the gate in the product at {step.node.name}; use "
        "integrated_gradients or occlusion instead."
    )


def _is_gate(node: fx.Node) -> bool:
    while operation_name(node) in {"view", "unsqueeze", "expand", "clone", "permute"}:
        node = node.all_input_nodes[0]
    return operation_name(node) in {"sigmoid", "hardsigmoid", "softmax", "_softmax"}


def _values(step: Step) -> list[Tensor]:
    return [step.values[n] for n in step.inputs]


def _named(step: Step, shares: list[Tensor]) -> Shares:
    return dict(zip(step.inputs, shares, strict=True))


_MOVING = (
    "view",
    "reshape",
    "_unsafe_view",
    "flatten",
    "unflatten",
    "permute",
    "transpose",
    "t",
    "squeeze",
    "unsqueeze",
    "expand",
    "clone",
    "contiguous",
    "slice",
    "select",
    "narrow",
    "split",
    "split_with_sizes",
    "chunk",
    "unbind",
    "cat",
    "stack",
    "pad",
    "constant_pad_nd",
    "max_pool2d",
    "max_pool2d_with_indices",
    "adaptive_max_pool2d",
    "amax",
    "channel_shuffle",
    "native_channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "roll",
    "flip",
    "repeat",
    "upsample_nearest2d",
    "slice_scatter",
    "select_scatter",
    "expand_as",
    "fill",
    "zero",
)
_PASSING = (
    "relu",
    "hardtanh",
    "clamp",
    "clamp_min",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "silu",
    "mish",
    "hardswish",
    "tanh",
    "dropout",
    "alias",
    "detach",
    "_to_copy",
    "to",
)
_SPLITTING = ("add", "sub", "mean", "sum", "avg_pool2d", "adaptive_avg_pool2d", "upsample_bilinear2d")
_OPERATIONS: dict[str, Callable[[Step], Shares]] = {
    **dict.fromkeys(_MOVING, _move),
    **dict.fromkeys(_PASSING, _pass),
    **dict.fromkeys(_SPLITTING, _split),
    "conv2d": _convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "mul": _gate,
    "div": _quotient,
}
