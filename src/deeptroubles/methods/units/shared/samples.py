"""The part of an image at which a unit is most active."""

from __future__ import annotations

from typing import Literal

from deeptroubles.network import HookedNetwork, Network

CELLS = 3
"""Number of cells along each side of a crop ..."""
MIN_PARTS = 8
"""... which is at least 1 / MIN_PARTS of the image."""


def sample_box(
    network: Network,
    layer: str,
    cell: int,
    grid: tuple[int, int],
    around: Literal["receptive_field", "cell"] = "receptive_field",
) -> tuple[int, int, int, int]:
    """The box of an image to show for the strongest position of a unit.

    Args:
        network: The network.
        layer: Name of the layer.
        cell: The position on the layer's grid, in reading order (see `Samples.cells`).
        grid: Height and width of the grid (see `LayerIndex.grid`).
        around: `receptive_field`: exactly the pixels that the position can depend on. `cell`: a crop as in OpenAI's
            Microscope. The image is divided like the grid, and the box is centered on the cell; it is three cells wide
            and high, at least an eighth of the image, and shifted to lie inside. In deep layers, whose receptive field
            is the whole image, only `cell` shows a location.

    Returns:
        Top, left, bottom and right in pixels of the classifier's input, the last two exclusive; the whole image where
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
