"""A heatmap as a picture file, for the command line."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, ScalarFormatter

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
    write_whole(path, heatmap_png(picture[None], values[None], title, scale_label))


def heatmap_png(pictures: npt.NDArray[np.uint8], values: npt.NDArray[Any], title: str, scale_label: str) -> bytes:
    """Pictures (N x H x W x 3) beside their heatmaps (N x h x w), all on one scale, as the content of a PNG file."""
    count, height, width = pictures.shape[:3]
    heading = _wrapped(title, 9.0, 12)
    size = (9.0, 0.45 + 0.2 * heading.count("\n") + count * 3.9 * height / width)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(count, 2, squeeze=False)
    for axes in panels.flatten():
        axes.set_axis_off()
    for axes, picture in zip(panels[:, 0], pictures, strict=True):
        axes.imshow(picture)
    heat = _overlays(panels[:, 1], pictures, values)
    bar = figure.colorbar(heat, ax=panels, label=_plain(scale_label), shrink=0.85 / count, pad=0.02, extend="both")
    bar.ax.tick_params(labelsize=8)
    figure.suptitle(heading, x=0.02, horizontalalignment="left", fontsize=12)
    return _png(figure)


def draw_sheet(
    pictures: npt.NDArray[np.uint8],
    maps: Mapping[str, npt.NDArray[Any]],
    titles: Sequence[str],
    path: Path,
    columns: int = 5,
) -> None:
    """Draw pictures and many heatmaps of them side by side, as a PNG file.

    Every map has a color bar under it: its scale is the same for all pictures, and none of any other map.

    Args:
        pictures: The pictures, N x H x W x 3.
        maps: Raw, signed values by the name of what drew them, each N x h x w.
        titles: What is shown, one for each picture.
        path: Where the file goes. It is replaced in one step.
        columns: How many drawings stand side by side.
    """
    count, height, width = pictures.shape[:3]
    columns = min(columns, len(maps) + 1)
    bands = -(-(len(maps) + 1) // columns)
    captions = [_wrapped(title, 2.2, 9) for title in titles]
    lines = 1 + max(caption.count("\n") for caption in captions)
    size = (2.2 * columns, bands * (0.45 + count * (0.2 + 2.1 * height / width)) + 0.15 * lines)
    figure = Figure(figsize=size, dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(bands * count, columns, squeeze=False)
    for axes in panels.flatten():
        axes.set_axis_off()
    blocks = panels.reshape(bands, count, columns).transpose(0, 2, 1).reshape(-1, count)
    for axes, picture, caption in zip(blocks[0], pictures, captions, strict=True):
        axes.imshow(picture)
        axes.set_title(caption, fontsize=9)
    for block, (name, values) in zip(blocks[1:], maps.items(), strict=False):
        heat = _overlays(block, pictures, values)
        block[0].set_title(_wrapped(name.replace("_", " "), 2.2, 9), fontsize=9)
        bar = figure.colorbar(heat, ax=list(block), location="bottom", shrink=0.8, pad=0.02, aspect=30, extend="both")
        formatter = ScalarFormatter()
        formatter.set_powerlimits((-2, 3))
        bar.locator, bar.formatter = MaxNLocator(3), formatter
        bar.ax.tick_params(labelsize=6)
        bar.ax.xaxis.get_offset_text().set_fontsize(6)
        bar.update_ticks()
    write_whole(path, _png(figure))


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
    panel = 1.7 if len(pictures) > 1 else 7.0
    captions = ["\n".join(_wrapped(line, panel, 7.5) for line in caption.split("\n")) for caption in captions]
    lines = max(caption.count("\n") for caption in captions) + 1
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
        axes.set_xlabel(caption, fontsize=7.5)
    figure.suptitle(_wrapped(title, size[0], 10), x=0.02, horizontalalignment="left", fontsize=10)
    write_whole(path, _png(figure))


def _png(figure: Figure) -> bytes:
    drawing = io.BytesIO()
    figure.savefig(drawing, format="png")
    return drawing.getvalue()


def _overlays(panels: Iterable[Axes], pictures: npt.NDArray[np.uint8], maps: npt.NDArray[Any]) -> AxesImage:
    """Draw maps (N x h x w) over pictures that are turned gray, on one scale, which the returned image knows."""
    masked = np.ma.masked_invalid(maps.astype(np.float64))
    colors, low, high = _scale(masked)
    height, width = pictures.shape[1:3]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    look: dict[str, Any] = {"cmap": colors, "vmin": low, "vmax": high, "alpha": _OPACITY, "interpolation": "bilinear"}
    drawn = []
    for axes, picture, values in zip(panels, pictures, masked, strict=True):
        axes.imshow(_gray(picture), cmap="gray", vmin=0, vmax=255)
        drawn.append(axes.imshow(values, extent=extent, **look))
    return drawn[-1]


def _scale(values: np.ma.MaskedArray[Any, Any]) -> tuple[Colormap | str, float, float]:
    """The colors of a map and its lowest and highest value: centered on 0 if any value is negative."""
    colors: Colormap | str = "viridis"
    measured = values.compressed() if values.count() else np.array([0.0, 1.0])
    # A map of single pixels has a few that outshine all others; they share the end of the scale.
    low, high = (float(np.quantile(measured, share)) for share in (1 - _SHOWN, _SHOWN))
    if measured.min() < 0:
        colors, high = _BLUE_WHITE_ORANGE, max(-low, high)
        low = -high
    if low == high:  # nearly all values are the same
        low, high = float(measured.min()), float(measured.max())
    return colors, low, high if low < high else low + 1.0


def _gray(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    gray: npt.NDArray[np.float64] = picture @ np.array([0.299, 0.587, 0.114])
    return gray


def _wrapped(text: str, inches: float, points: float) -> str:
    """A caption in lines that fit into a width, so that none of it is cut."""
    return "\n".join(textwrap.wrap(_plain(text), max(8, int(inches * 72 / (0.6 * points)))))


def _plain(text: str) -> str:
    """Keep a dollar sign in a file name or a label from being read as mathematics."""
    return text.replace("$", r"\$")
