"""Receptive fields: which pixels a position of a layer can depend on, computed from the graph, exact at the borders.

For every node of the graph and each of the two image axes we keep two integer arrays, `low` and `high`: position i of
the node can depend on pixel rows (or columns) low[i] to high[i], inclusive, and on no others outside of that hull.
Each operation maps the arrays of its inputs to the arrays of its output: a window takes the smallest low and the
largest high of the positions it covers (padding covers nothing), an addition or a concatenation of channels takes the
union, whatever mixes all positions takes the hull of everything. Beside the arrays we carry the affine form
(size, stride, offset) that holds away from borders, as in Araujo et al., "Computing receptive fields of convolutional
neural networks" (Distill 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor, fx

from deeptroubles.network.receptive_field.field import Affine, Axis, Field, joined
from deeptroubles.network.receptive_field.rules import step


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer, in pixels of the input, as (vertical, horizontal) pairs.

    `size`, `stride` and `offset` hold away from borders; they are None along an axis where every position sees a hull
    of its own (after global operations, squeeze-and-excitation or resizing). `box` is exact everywhere.
    """

    size: tuple[int | None, int | None]
    stride: tuple[int | None, int | None]
    offset: tuple[int | None, int | None]
    field: Field
    image: tuple[int, int]

    @classmethod
    def of(cls, field: Field, image: tuple[int, int]) -> ReceptiveField:
        """Summarise a field over an image of height x width."""
        y, x = ((f.size, f.stride, f.offset) if f else (None, None, None) for f in (a.affine for a in field.axes))
        return cls((y[0], x[0]), (y[1], x[1]), (y[2], x[2]), field, image)

    def box(self, row: int = 0, column: int = 0) -> tuple[int, int, int, int]:
        """The pixels that one position can depend on: top, left, bottom, right, bottom and right exclusive."""
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
            fields[node] = Field((-2, -1), (axes[0], axes[1]))
        elif node.op == "call_function" and any(n in fields for n in node.all_input_nodes):
            inputs = [fields[n] for n in node.all_input_nodes if n in fields]
            field = step(node, inputs) if isinstance(value, Tensor) else inputs[0]
            fields[node] = field if field is not None else joined([each.flattened() for each in inputs])
    return fields
