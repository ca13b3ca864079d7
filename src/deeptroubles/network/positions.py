"""Where the image positions of a layer lie: rows and columns, or tokens; before the channels or after them.

Every element of every value in the graph gets a place in the image. Operations that move elements (reshape, permute,
windows that are cut and put together, a class token that is concatenated) are run on the places, too, so places move in
the same way. A convolution or a pooling divides the image anew. The output of a linear layer lies in the middle of its
inputs. Where that is one place for all outputs, as after attention, they have no place, until the addition of the
residual stream restores it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from deeptroubles.network.receptive_field.rules import is_pointwise, operation_name

Places = Any
"""Row + i * column of every element, in parts of the image (complex; NaN for an element without a place).

A list of them for an operation with several outputs; None for a value without places.
"""


@dataclass(frozen=True)
class Grid:
    """How the positions of a layer's output are arranged.

    Attributes:
        shape: Height and width of the grid.
        positions: The dimensions of the output (0 is the first after the batch) that hold positions.
        channels: The other dimensions.
        index: Of the flattened positions, those on the grid, in reading order; None if they are all and in order.
    """

    shape: tuple[int, int]
    positions: tuple[int, ...]
    channels: tuple[int, ...]
    index: Tensor | None

    @property
    def is_plain(self) -> bool:
        """Whether the output is channels x height x width already."""
        return self.index is None and self.channels == (0,) and self.positions == (1, 2)

    def channels_of(self, shape: Sequence[int]) -> int:
        """How many channels an output of that shape has."""
        return math.prod(shape[dim] for dim in self.channels)

    def maps(self, values: Tensor) -> Tensor:
        """The output of the layer (N x ...) as N x C x height x width; tokens that are no patches are left out."""
        if self.is_plain:
            return values
        moved = values.permute(0, *(dim + 1 for dim in (*self.channels, *self.positions)))
        flat = (moved.flatten(1, len(self.channels)) if self.channels else moved[:, None]).flatten(2)
        return (flat if self.index is None else flat[..., self.index.to(flat.device)]).reshape(
            *flat.shape[:2], *self.shape
        )


def plain_grid(height: int, width: int) -> Grid:
    """The grid of channels x height x width."""
    return Grid((height, width), (1, 2), (0,), None)


def find_grids(module: fx.GraphModule, pixels: Tensor) -> dict[fx.Node, Grid]:
    """The grid of every value of a traced graph that has one and whose first dimension is the batch."""
    locating = _Locating(module)
    with torch.no_grad():
        locating.run(pixels)
    batch = str(next(iter(module.graph.find_nodes(op="placeholder"))).meta["val"].shape[0])
    found = {}
    for node, places in locating.places.items():
        value = node.meta.get("val")
        if isinstance(places, Tensor) and isinstance(value, Tensor) and str(value.shape[0]) == batch:
            grid = _grid(places[0])
            if grid:
                found[node] = grid
    return found


def bottlenecks(graph: fx.Graph) -> set[fx.Node]:
    """The values through which all information from the pixels to the logits passes.

    The output of a residual block is one; what a block adds to its input is not.
    """
    output = next(iter(graph.find_nodes(op="output")))
    order = {node: i for i, node in enumerate(graph.nodes)}
    leading: set[fx.Node] = {output}
    for node in reversed(graph.nodes):
        if node.op != "get_attr" and _is_computed(node) and any(user in leading for user in node.users):
            leading.add(node)
    depending: set[fx.Node] = set()
    found, furthest = set(), 0
    for node in graph.nodes:
        if node not in leading or (node.op != "placeholder" and depending.isdisjoint(node.all_input_nodes)):
            continue
        if furthest <= order[node]:
            found.add(node)
        depending.add(node)
        furthest = max([furthest, *(order[user] for user in node.users if user in leading)])
    return found


class _Locating(fx.Interpreter):
    """Runs a graph and keeps the places of every value that depends on the pixels."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.places: dict[fx.Node, Places] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "placeholder":
            self.places[n] = _divided(value)
        elif n.op == "call_function" and _is_computed(n) and not self.places.keys().isdisjoint(n.all_input_nodes):
            self.places[n] = self._located(n, value)
        return value

    def _located(self, node: fx.Node, value: Any) -> Places:
        name = operation_name(node)
        known = [self.places[n] for n in node.all_input_nodes if self.places.get(n) is not None]
        if not known:
            return None
        if name == "getitem":
            return known[0][node.args[1]]
        if name in _MOVING:
            return self._moved(node)
        if name in _DIVIDING:
            places = _redivided(node, known[0], value[0] if isinstance(value, tuple) else value)
            return [places, None] if isinstance(value, tuple) else places
        return self._computed(node, known, value.shape)

    def _computed(self, node: fx.Node, known: list[Tensor], shape: Sequence[int]) -> Tensor | None:
        name = operation_name(node)
        if name in _KEEPING or is_pointwise(node):
            return _joined(known, shape)
        if name in _MIXING and self.places.keys().isdisjoint(node.all_input_nodes[1:]):  # attention mixes everything
            return _mixed(known[0], _MIXING[name](node), shape)
        return None

    def _moved(self, node: fx.Node) -> Places:
        """The operation itself, run on the places."""

        def places(argument: fx.Node) -> Any:
            value, known = self.env[argument], self.places.get(argument)
            if known is not None or not isinstance(value, Tensor):
                return value if known is None else known
            return _nowhere(value.shape) if value.is_floating_point() else value.cpu()

        arguments: list[Any] = list(fx.map_arg(node.args, places))
        settings: dict[str, Any] = dict(fx.map_arg(node.kwargs, places))
        if operation_name(node) in {"pad", "constant_pad_nd"}:
            _fill_with_nowhere(node, arguments, settings)
        if operation_name(node) in _VIEWS:
            return arguments[0].reshape(arguments[1])  # places may need a copy where values need none
        return node.target(*arguments, **settings)  # type: ignore[operator]


def _is_computed(node: fx.Node) -> bool:
    """Whether a node is a value, not one of its sizes."""
    value = node.meta.get("val")
    return isinstance(value, Tensor) or (isinstance(value, list | tuple) and isinstance(value[0], Tensor))


def _nowhere(shape: Sequence[int]) -> Tensor:
    return torch.full((1,) * len(shape), torch.nan, dtype=torch.complex128).expand(tuple(shape))


def _divided(value: Tensor) -> Tensor | None:
    """The places of an image (N x C x H x W): the middle of every cell. None if it has one position only."""
    height, width = value.shape[-2:]
    if height * width == 1:
        return None
    rows = (torch.arange(height, dtype=torch.float64) + 0.5) / height
    columns = (torch.arange(width, dtype=torch.float64) + 0.5) / width
    return torch.complex(rows[:, None].expand(height, width), columns.expand(height, width)).expand(value.shape)


def _compact(places: Tensor) -> Tensor:
    """Without the repetitions along expanded dimensions."""
    for dim, stride in enumerate(places.stride()):
        if stride == 0 and places.shape[dim] > 1:
            places = places.narrow(dim, 0, 1)
    return places


def _joined(known: Iterable[Tensor], shape: Sequence[int]) -> Tensor:
    """The places of an elementwise operation: of the input with most places; of inputs far apart, the middle.

    Inputs that differ by less than a cell are the same positions: a slice with a step has the place of its first
    element, and a convolution with a stride that of the middle.
    """
    first, *others = sorted((_compact(places) for places in known), key=_unknown)
    there = first[~first.isnan()]
    cell = 1 / max(1, min(len(torch.unique(part)) for part in (there.real, there.imag)))
    for other in others:
        middle = torch.where((first - other).abs() < cell, first, (first + other) / 2)
        first = torch.where(first.isnan(), other, torch.where(other.isnan(), first, middle))
    return first.expand(tuple(shape))


def _unknown(places: Tensor) -> float:
    return float(places.isnan().double().mean())


def _mixed(places: Tensor, dims: Sequence[int], shape: Sequence[int]) -> Tensor | None:
    """The places of what is computed from all elements along some dimensions; None if that is the same for all."""
    compact, last = _compact(places), len(places.shape)
    where = tuple(sorted(d % last for d in dims))
    known = ~compact.isnan()
    middle = torch.where(known, compact, 0).sum(where, keepdim=True) / known.sum(where, keepdim=True)  # 0 / 0 is NaN
    found = middle[~middle.isnan()]
    if not len(found) or bool(((found - found[0]).abs() < _SAME).all()):
        return None
    if len(shape) < last:
        middle = middle.squeeze(where)
    return middle.expand(tuple(shape))


def _redivided(node: fx.Node, places: Tensor, made: Tensor) -> Tensor | None:
    """The places in what a window operation makes of an image; one of 1 x 1 pixels takes anything."""
    read = _mixed(places, (1,), (len(places), 1, *places.shape[2:])) if places.ndim == made.ndim == 4 else None
    if read is None:
        return None
    if _spread(read.real, 3) < _SAME and _spread(read.imag, 2) < _SAME:
        return _divided(made)
    return read.expand(made.shape) if _is_pointwise_convolution(node) else None


def _spread(coordinates: Tensor, dim: int) -> float:
    """How far coordinates are apart along a dimension, at most."""
    if coordinates.shape[dim] == 1 or coordinates.stride(dim) == 0:
        return 0.0
    high = coordinates.nan_to_num(nan=-torch.inf).amax(dim)
    low = coordinates.nan_to_num(nan=torch.inf).amin(dim)
    return float((high - low).max())


def _grid(places: Tensor) -> Grid | None:
    """How the positions of one image are arranged; None if they are not the cells of a grid, each once."""
    spreads = (max(_spread(places.real, d), _spread(places.imag, d)) for d in range(places.ndim))
    varying = tuple(d for d, spread in enumerate(spreads) if spread > _SAME)
    channels = tuple(d for d in range(places.ndim) if d not in varying)
    if not varying:
        return None
    flat = _first(places, channels).flatten()
    known = (~flat.isnan()).nonzero()[:, 0]
    (rows, row), (columns, column) = _cells(flat.real[known]), _cells(flat.imag[known])
    cell = row * columns + column
    order = cell.argsort()
    if len(known) < 2 or not torch.equal(cell[order], torch.arange(rows * columns)):
        return None
    index = known[order]
    in_order = torch.equal(index, torch.arange(len(flat)))
    return Grid((rows, columns), varying, channels, None if in_order else index)


def _first(places: Tensor, dims: Sequence[int]) -> Tensor:
    """The first entry along some dimensions, which are dropped."""
    for dim in reversed(dims):
        places = places.select(dim, 0)
    return places


def _cells(coordinates: Tensor) -> tuple[int, Tensor]:
    """How many different coordinates there are, and which of them each is, in ascending order."""
    # The shift keeps fractions of small whole numbers away from the edges between two roundings.
    distinct, which = torch.unique((coordinates / _SAME + 0.3).floor(), return_inverse=True)
    return len(distinct), which


def _is_pointwise_convolution(node: fx.Node) -> bool:
    weight = node.args[1] if len(node.args) > 1 else None
    return isinstance(weight, fx.Node) and tuple(weight.meta["val"].shape[2:]) == (1, 1)


def _fill_with_nowhere(node: fx.Node, arguments: list[Any], settings: dict[str, Any]) -> None:
    """What a constant padding adds has no place."""
    fixed = 2 if operation_name(node) == "constant_pad_nd" else 3
    mode = arguments[2] if fixed == 3 and len(arguments) > 2 else settings.get("mode", "constant")
    if fixed == 2 or mode == "constant":
        del arguments[fixed:]
        settings["value"] = torch.nan


def _reduced(node: fx.Node) -> Sequence[int]:
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if dims is None or dims == []:
        return range(len(node.args[0].meta["val"].shape))  # type: ignore[union-attr]
    return [dims] if isinstance(dims, int) else dims  # type: ignore[return-value]


def _last(_node: fx.Node) -> Sequence[int]:
    return (-1,)


_SAME = 1e-6
"""Coordinates that differ by less are the same: in parts of the image."""
_VIEWS = {"view", "reshape", "_unsafe_view", "unsafe_view"}
_MOVING = _VIEWS | {
    "permute",
    "transpose",
    "t",
    "flatten",
    "unflatten",
    "squeeze",
    "unsqueeze",
    "expand",
    "slice",
    "slice_scatter",
    "select",
    "select_scatter",
    "split",
    "split_with_sizes",
    "chunk",
    "unbind",
    "roll",
    "flip",
    "cat",
    "stack",
    "repeat",
    "index",
    "index_select",
    "narrow",
    "movedim",
    "pixel_shuffle",
    "pixel_unshuffle",
    "channel_shuffle",
    "native_channel_shuffle",
    "pad",
    "constant_pad_nd",
}
"""Operations that move elements and compute nothing."""
_DIVIDING = {
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "max_pool2d_with_indices",
    "avg_pool2d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "upsample_nearest2d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
}
"""Operations on images (N x C x H x W) whose output is an image again, maybe of another size."""
_KEEPING = {"layer_norm", "rms_norm", "group_norm", "instance_norm", "softmax", "_softmax"}
"""Operations that mix elements but leave each where it is."""
_MIXING: dict[str, Callable[[fx.Node], Sequence[int]]] = {
    **dict.fromkeys(("linear", "matmul", "mm", "bmm"), _last),
    **dict.fromkeys(("mean", "sum", "amax"), _reduced),
}
"""Operations that compute one value of all elements along some dimensions."""
