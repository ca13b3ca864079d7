"""Which part of an image a unit saw when it answered most."""

from __future__ import annotations

from typing import Literal

from deeptroubles.network import HookedNetwork, Network

CELLS = 3
"""A crop around a cell shows so many cells along each side ..."""
MIN_PARTS = 8
"""... and never less than one part in so many of the image."""


def sample_box(
    network: Network,
    layer: str,
    cell: int,
    grid: tuple[int, int],
    around: Literal["receptive_field", "cell"] = "receptive_field",
) -> tuple[int, int, int, int]:
    """The part of an image to show for the strongest position of a unit.

    Args:
        network: The network.
        layer: Name of the layer.
        cell: The position on the layer's grid, in reading order (see `Samples.cells`).
        grid: Height and width of the grid (see `LayerIndex.grid`).
        around: `receptive_field`: exactly the pixels that the position can depend on. `cell`: the neighbourhood in
            which the position lies, as OpenAI's Microscope crops: the image is divided like the grid, and the box is
            centred on the cell's part of it, three cells wide and high but at least an eighth of the image, moved
            inside where it would stick out. In deep layers, whose receptive field is the whole image, only the second
            says where to look.

    Returns:
        top, left, bottom, right in pixels of the classifier's input, bottom and right exclusive; the whole image where
        the layer has no positions (features, tokens), and for a receptive field of a network that could not be traced.
    """
    height, width = network.classifier.size
    row, column = divmod(cell, grid[1])
    if not network.layer(layer).is_spatial:
        return 0, 0, height, width
    if around == "receptive_field":
        return (
            (0, 0, height, width)
            if isinstance(network, HookedNetwork)
            else (network.receptive_field(layer).box(row, column))
        )
    (top, bottom), (left, right) = _span(row, grid[0], height), _span(column, grid[1], width)
    return top, left, bottom, right


def _span(index: int, cells: int, pixels: int) -> tuple[int, int]:
    """Start and end of the crop along one side of the image."""
    length = min(pixels, max(1, round(CELLS * pixels / cells), round(pixels / MIN_PARTS)))
    start = round((index + 0.5) * pixels / cells - length / 2)
    start = min(max(0, start), pixels - length)
    return start, start + length
