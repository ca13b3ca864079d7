"""Compute the receptive field of every node of a traced graph, exact at the borders.

Every node has two integer arrays per image axis, `low` and `high`: position i can depend on pixel rows (or columns)
low[i] to high[i], inclusive, and on none outside.
Each operation maps the arrays of its inputs to the arrays of its output: a window takes the smallest low and the
largest high of the positions it covers (padding covers nothing), an addition or a concatenation of channels takes the
union, an operation that mixes all positions takes the hull of everything. The affine form (size, stride, offset) that
holds away from borders is computed as well, as in Araujo et al., "Computing receptive fields of convolutional
neural networks" (Distill 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, fx

from deeptroubles.network.receptive_field.field import Affine, Axis, Field, union
from deeptroubles.network.receptive_field.rules import propagate_node


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer, in pixels of the input, as (vertical, horizontal) pairs.

    `size`, `stride` and `offset` hold away from borders; they are None along an axis without such a form (after global
    operations, squeeze-and-excitation or resizing). `box` is exact everywhere.
    """

    size: tuple[int | None, int | None]
    stride: tuple[int | None, int | None]
    offset: tuple[int | None, int | None]
    field: Field
    image: tuple[int, int]

    @classmethod
    def of(cls, field: Field, image: tuple[int, int]) -> ReceptiveField:
        """Summarize a field over an image of height x width."""
        y, x = ((f.size, f.stride, f.offset) if f else (None, None, None) for f in (a.affine for a in field.axes))
        return cls((y[0], x[0]), (y[1], x[1]), (y[2], x[2]), field, image)

    def box(self, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
        """The pixels that one position can depend on: top, left, bottom, right; bottom and right are exclusive."""
        edges = [
            (int(axis.low[i if len(axis.low) > 1 else 0]), int(axis.high[i if len(axis.low) > 1 else 0]) + 1)
            for axis, i in zip(self.field.axes, (row, column), strict=True)
        ]
        (top, bottom), (left, right) = edges
        return top, left, bottom, right


def propagate(graph: fx.Graph) -> dict[fx.Node, Field]:
    """The field of every node that depends on the pixels."""
    fields: dict[fx.Node, Field] = {}
    for node in graph.nodes:
        value = node.meta.get("val")
        if node.op == "placeholder":
            axes = [Axis(np.arange(n), np.arange(n), Affine(1, 1, 0)) for n in value.shape[-2:]]
            fields[node] = Field((-2, -1), axes)
        elif node.op == "call_function" and any(n in fields for n in node.all_input_nodes):
            inputs = [fields[n] for n in node.all_input_nodes if n in fields]
            field = propagate_node(node, inputs) if isinstance(value, Tensor) else inputs[0]
            fields[node] = field if field is not None else union([each.mixed() for each in inputs])
    return fields
