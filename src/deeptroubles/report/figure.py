"""A heatmap as a picture file, for the command line."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from deeptroubles.run.files import write_whole

# The same colors as on the report page (frontend/src/drawing/color.ts); both read the same to color-blind people.
_STOPS = "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fee0b6 fdb863 e08214 b35806 7f3b08"
_BLUE_WHITE_ORANGE = LinearSegmentedColormap.from_list("blue_white_orange", [f"#{stop}" for stop in _STOPS.split()])
_OPACITY = 0.65
_SHOWN = 0.995


def draw_heatmap(
    picture: npt.NDArray[np.uint8], values: npt.NDArray[Any], title: str, scale_label: str, path: Path
) -> None:
    """Draw a picture and, beside it, the picture under its heatmap, as a PNG file.

    Args:
        picture: The picture, H x W x 3.
        values: Raw, signed values, h x w; may be coarser than the picture. NaN is left clear.
        title: What the drawing shows.
        scale_label: What the values are, with their unit.
        path: Where the file goes. It is replaced in one step.
    """
    height, width = picture.shape[:2]
    figure = Figure(figsize=(9.0, 0.7 + 3.9 * height / width), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(picture)
    right.imshow(_gray(picture), cmap="gray", vmin=0, vmax=255)
    heat = _overlay(right, np.ma.masked_invalid(values.astype(np.float64)), (height, width))
    for axes in (left, right):
        axes.set_axis_off()
    figure.colorbar(heat, ax=[left, right], label=scale_label, shrink=0.85, pad=0.02, extend="both")
    figure.suptitle(_plain(title), x=0.02, horizontalalignment="left")
    _save(figure, path)


def draw_sheet(
    picture: npt.NDArray[np.uint8], maps: Mapping[str, npt.NDArray[Any]], title: str, path: Path, columns: int = 5
) -> None:
    """Draw a picture and many heatmaps of it side by side, as a PNG file. Each map has a scale of its own.

    Args:
        picture: The picture, H x W x 3.
        maps: Raw, signed values by the name of what drew them, each h x w.
        title: What the drawing shows.
        path: Where the file goes. It is replaced in one step.
        columns: How many drawings stand side by side.
    """
    height, width = picture.shape[:2]
    rows = -(-(len(maps) + 1) // columns)
    figure = Figure(figsize=(2.2 * columns, 0.6 + rows * (0.35 + 2.1 * height / width)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.set_axis_off()
    panels[0].imshow(picture)
    panels[0].set_title(_plain(title), fontsize=9)
    for axes, (name, values) in zip(panels[1:], maps.items(), strict=False):
        axes.imshow(_gray(picture), cmap="gray", vmin=0, vmax=255)
        _overlay(axes, np.ma.masked_invalid(values.astype(np.float64)), (height, width))
        axes.set_title(_plain(name.replace("_", " ")), fontsize=9)
    _save(figure, path)


def draw_pictures(
    pictures: Sequence[npt.NDArray[Any]], captions: Sequence[str], title: str, path: Path, columns: int = 10
) -> None:
    """Draw pictures side by side, as a PNG file.

    Args:
        pictures: C x H x W in [0, 1] (C is 1 or 3; of any other number the mean), or h x w of raw numbers, which are
            drawn in colors, each on a scale of its own.
        captions: One under each.
        title: What they show.
        path: Where the file goes. It is replaced in one step.
        columns: How many stand side by side at most.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[-2:]
    lines = max(caption.count("\n") for caption in captions) + 1
    panel = 1.7 if len(pictures) > 1 else 7.0
    size = (panel * columns + 0.4, 0.35 + rows * (0.1 + 0.15 * lines + 0.94 * panel * height / width))
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels[len(pictures) :]:
        axes.set_axis_off()
    for axes, pixels, caption in zip(panels, pictures, captions, strict=False):
        if pixels.ndim == 2:
            axes.imshow(pixels, cmap="viridis", interpolation="nearest")
        elif len(pixels) == 3:
            axes.imshow(pixels.transpose(1, 2, 0), interpolation="nearest")
        else:
            axes.imshow(pixels.mean(0), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("0.8")
        axes.set_xlabel(_plain(caption), fontsize=7.5)
    figure.suptitle(_plain(title), x=0.02, horizontalalignment="left", fontsize=10)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png")
    write_whole(path, drawing.getvalue())


def _overlay(axes: Axes, values: np.ma.MaskedArray[Any, Any], size: tuple[int, int]) -> AxesImage:
    colors: Colormap | str = "viridis"
    measured = values.compressed() if values.count() else np.array([0.0, 1.0])
    # A map of single pixels has a few that outshine all others; they share the end of the scale.
    low, high = (float(np.quantile(measured, share)) for share in (1 - _SHOWN, _SHOWN))
    if measured.min() < 0:
        colors, high = _BLUE_WHITE_ORANGE, max(-low, high)
        low = -high
    if low == high:  # nearly all values are the same
        low, high = float(measured.min()), float(measured.max())
    extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
    return axes.imshow(
        values, cmap=colors, vmin=low, vmax=high, alpha=_OPACITY, extent=extent, interpolation="bilinear"
    )


def _gray(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    gray: npt.NDArray[np.float64] = picture @ np.array([0.299, 0.587, 0.114])
    return gray


def _plain(text: str) -> str:
    """Keep a dollar sign in a file name or a label from being read as mathematics."""
    return text.replace("$", r"\$")
