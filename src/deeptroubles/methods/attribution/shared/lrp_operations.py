"""Backward propagation of relevance through each operation of a traced network, one small function each.

Attention follows AttnLRP (R. Achtibat et al.: AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for
Transformers, ICML 2024, section 3): a softmax is expanded where it is (proposition 3.1), a product of two values that
both depend on the pixels gives half of its relevance to each (propositions 3.2 and 3.3), a normalization passes on what
is left after centering (proposition 3.4), and an activation passes on all of it (the identity rule).
"""

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
from deeptroubles.network import operation_name

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
        """The inputs that depend on the pixels, each once. Masks and indices carry no relevance."""
        found = [n for n in self.source.all_input_nodes if n in self.signals]
        return [n for n in found if isinstance(self.values[n], Tensor) and self.values[n].is_floating_point()]

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
        raise _without_rule(step, repr(name))
    return _OPERATIONS[name](step)


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
    """A convolution, also a transposed one, over any number of image dimensions."""
    options = step.source.args[3:]
    function: Callable[..., Tensor] = getattr(functional, operation_name(step.source))
    shape = (-1, *[1] * (step.argument(1).ndim - 2))
    return _weighted(step, lambda x, w: function(x, w, None, *options), shape)


def _linear(step: Step) -> Shares:
    return _weighted(step, functional.linear, (-1,))


def _weighted(step: Step, apply: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> Shares:
    if step.inputs != [step.source.args[0]]:
        raise _without_rule(step, "weights that depend on the image")
    x, weight, bias = step.argument(0), step.argument(1), step.argument(2, "bias")
    bias = torch.zeros(1).to(x) if bias is None else bias
    return {step.inputs[0]: step.rule(Weighted(apply, x, weight, bias.view(shape)), step.relevance)}


def _matrix_product(step: Step) -> Shares:
    """A product of matrices: a layer with weights where one of them is constant."""
    first, second = step.source.args[:2]
    if first in step.signals and second in step.signals:
        return _bilinear(step)
    left, right = step.argument(0), step.argument(1)
    swapped = second in step.signals
    x, weight = (right, left) if swapped else (left, right)
    apply = (lambda v, w: torch.matmul(w, v)) if swapped else torch.matmul
    return {step.inputs[0]: step.rule(Weighted(apply, x, weight, torch.zeros(1).to(x)), step.relevance)}


def _bilinear(step: Step) -> Shares:
    """Values that multiply values: an equal part of the relevance for each, proportional to the contributions.

    The share of a constant bias is absorbed (Achtibat et al., 2024, proposition 3.3, with epsilon).
    """
    factors = list[fx.Node]()
    fx.map_arg((step.source.args, step.source.kwargs), lambda n: factors.append(n) if n in step.inputs else None)
    return _named(step, _parts(step.compute, _values(step), step.relevance, step.epsilon, len(factors)))


def _parts(
    compute: Callable[..., Tensor], inputs: list[Tensor], relevance: Tensor, epsilon: float, factors: int = 2
) -> list[Tensor]:
    signals = vjp(compute, inputs, divided(relevance, compute(*inputs), epsilon) / factors)
    return [x * signal for x, signal in zip(inputs, signals, strict=True)]


def _softmax(step: Step) -> Shares:
    """The first-order expansion at the value itself (Achtibat et al., 2024, proposition 3.1)."""
    return {step.inputs[0]: _through_softmax(step.argument(0), step.relevance, step.argument(1))}


def _through_softmax(x: Tensor, relevance: Tensor, dim: int) -> Tensor:
    """x_i (R_i - s_i sum_j R_j) for the softmax s of x; 0 where x is masked out."""
    share = x.softmax(dim)
    finite = torch.where(torch.isfinite(x), x, 0.0)
    return finite * (relevance - share * relevance.sum(dim, keepdim=True))


def _attention(step: Step) -> Shares:
    """Scaled dot-product attention in one operation: a product, a softmax and a product, each by its rule."""
    nodes = [a if isinstance(a, fx.Node) else None for a in (*step.source.args, None)[:4]]
    query, key, value = (step.argument(i) for i in range(3))
    scale = step.argument(6, "scale")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    products = scale * query @ key.transpose(-2, -1)
    scores = products + _bias_of(step, products)
    weights = scores.softmax(-1)

    of_weights, of_value = _parts(torch.matmul, [weights, value], step.relevance, step.epsilon)
    of_scores = _through_softmax(scores, of_weights, -1)
    factors = divided(of_scores, scores, step.epsilon)
    of_query, of_key = _parts(
        lambda q, k: scale * q @ k.transpose(-2, -1), [query, key], products * factors, step.epsilon
    )
    shares: Shares = {}
    parts = [of_query, of_key, of_value, (scores - products) * factors]
    for node, part in zip(nodes, parts, strict=True):
        if node in step.inputs:
            known = step.values[node].shape
            shares[node] = shares.get(node, 0) + part.sum_to_size(known)
    return shares


def _bias_of(step: Step, products: Tensor) -> Tensor:
    """What attention adds to the products of queries and keys: a mask, a bias, the future."""
    mask = step.argument(3, "attn_mask")
    if step.argument(5, "is_causal", default=False):
        mask = torch.ones(products.shape[-2:], dtype=torch.bool, device=products.device).tril()
    if mask is None:
        return torch.zeros(1).to(products)
    return mask if mask.dtype != torch.bool else torch.zeros_like(products).masked_fill(~mask, -torch.inf)


def _batch_norm(step: Step) -> Shares:
    """A batch normalization that could not be fused: a layer with one weight per channel."""
    if step.is_preprocessing:
        return _pass(step)
    return _per_channel(step, step.argument(7))


def _per_channel(step: Step, eps: float) -> Shares:
    """With statistics that are known: x, scale, shift, mean and variance are the first arguments."""
    x, scale, shift, mean, variance = (step.argument(i) for i in range(5))
    weight = torch.rsqrt(variance + eps) * (1 if scale is None else scale)
    bias = -mean * weight + (0 if shift is None else shift)
    shape = (-1, *[1] * (x.ndim - 2))
    return {
        step.inputs[0]: step.rule(Weighted(lambda v, w: v * w.view(shape), x, weight, bias.view(shape)), step.relevance)
    }


def _instance_norm(step: Step) -> Shares:
    """One mean and deviation for each image and channel, or, with running statistics, as a batch normalization."""
    x, eps = step.argument(0), step.argument(7)
    dims = tuple(range(2, x.ndim))
    if step.argument(5):
        return _normalized(step, x, dims, torch.rsqrt(x.var(dims, correction=0, keepdim=True) + eps), weight_at=1)
    return _per_channel(step, eps)


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


def _normalized(step: Step, x: Tensor, dims: tuple[int, ...], factor: Tensor, *, weight_at: int = 2) -> Shares:
    """A normalization with its standard deviation as a constant: centering, then one weight per channel.

    (Achtibat et al., 2024, proposition 3.4: centering by the epsilon rule, the division by identity.)
    """
    weight = step.argument(weight_at, "weight")
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
    (squeeze-and-excitation). A constant factor only scales. Two signals get half each (Achtibat et al., 2024,
    proposition 3.2).
    """
    if len(step.inputs) == 1:
        return {step.inputs[0]: step.relevance.sum_to_size(step.values[step.inputs[0]].shape)}
    gates = [n for n in step.inputs if _is_gate(n) or step.values[n].numel() < step.relevance.numel()]
    signals = [n for n in step.inputs if n not in gates] if len(gates) == 1 else step.inputs
    return {n: step.relevance.sum_to_size(step.values[n].shape) / len(signals) for n in signals}


def _quotient(step: Step) -> Shares:
    """A division, with the denominator as a constant, as the deviation of a normalization is."""
    numerator = step.source.args[0]
    if not isinstance(numerator, fx.Node) or numerator not in step.inputs:
        raise _without_rule(step, "a quotient with only its denominator from the image")
    return {numerator: step.relevance.sum_to_size(step.values[numerator].shape)}


def _scaled_sum(step: Step) -> Shares:
    """The operation `addcmul`: x + value * a * b."""
    if all(factor in step.signals for factor in step.source.args[1:3]):
        raise _without_rule(step, "a sum with a product of two values from the image")
    return _split(step)


def _without_rule(step: Step, what: str) -> ModelError:
    return ModelError(
        f"LRP has no rule for {what} (at {step.node.name}), and a guess would give a wrong map; use "
        "integrated_gradients or occlusion instead."
    )


def _is_gate(node: fx.Node) -> bool:
    while operation_name(node) in _RESHAPING:
        node = node.all_input_nodes[0]
    return operation_name(node) in _GATES


_RESHAPING = {"view", "reshape", "unsqueeze", "expand", "clone", "permute", "transpose"}
_GATES = {"sigmoid", "hardsigmoid", "softmax", "_softmax"}


def _values(step: Step) -> list[Tensor]:
    return [step.values[n] for n in step.inputs]


def _named(step: Step, shares: list[Tensor]) -> Shares:
    return dict(zip(step.inputs, shares, strict=True))


_MOVING = (
    *("view", "reshape", "_unsafe_view", "view_as", "flatten", "unflatten", "permute", "transpose", "t", "movedim"),
    *("squeeze", "unsqueeze", "expand", "expand_as", "clone", "contiguous", "slice", "select", "narrow", "split"),
    *("split_with_sizes", "chunk", "unbind", "cat", "concat", "stack", "pad", "constant_pad_nd", "reflection_pad2d"),
    *(
        "replication_pad2d",
        "roll",
        "flip",
        "rot90",
        "repeat",
        "tile",
        "repeat_interleave",
        "unfold",
        "im2col",
        "as_strided",
    ),
    *("channel_shuffle", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle", "upsample_nearest2d"),
    *("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "adaptive_max_pool2d", "amax", "amin"),
    *("max", "min", "maximum", "minimum", "topk", "sort", "where", "masked_fill", "gather", "index", "index_select"),
    *("slice_scatter", "select_scatter", "fill", "zero"),
)
"""Each output is one of the inputs, or a constant: relevance goes to where the value came from."""
_PASSING = (
    *("relu", "hardtanh", "clamp", "clamp_min", "clamp_max", "leaky_relu", "rrelu", "prelu", "elu", "selu", "celu"),
    *("gelu", "silu", "mish", "hardswish", "hardshrink", "softshrink", "tanh", "tanhshrink", "softsign", "softplus"),
    *("sigmoid", "hardsigmoid", "logit", "log_sigmoid", "exp", "expm1", "log", "log1p", "log2", "sqrt", "abs", "neg"),
    *("pow", "square", "sin", "cos", "tan", "atan", "erf", "round", "floor", "ceil"),
    *("dropout", "feature_dropout", "alpha_dropout", "alias", "detach", "detach_", "_to_copy", "to", "lift_fresh_copy"),
    *("rms_norm",),
)
"""One output for each input: all of the relevance is passed on."""
_SPLITTING = (
    *("add", "sub", "subtract", "rsub", "mean", "sum", "cumsum", "linalg_vector_norm", "col2im"),
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_bilinear2d_aa"),
    *("_upsample_bicubic2d_aa",),
)
"""Sums of the inputs with constant weights, and functions that double when all inputs do."""
_OPERATIONS: dict[str, Callable[[Step], Shares]] = {
    **dict.fromkeys(_MOVING, _move),
    **dict.fromkeys(_PASSING, _pass),
    **dict.fromkeys(_SPLITTING, _split),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution),
    **dict.fromkeys(("matmul", "mm", "bmm"), _matrix_product),
    **dict.fromkeys(("softmax", "_softmax"), _softmax),
    **dict.fromkeys(("mul", "multiply"), _gate),
    **dict.fromkeys(("div", "divide", "true_divide"), _quotient),
    "linear": _linear,
    "einsum": _bilinear,
    "addcmul": _scaled_sum,
    "scaled_dot_product_attention": _attention,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
}
