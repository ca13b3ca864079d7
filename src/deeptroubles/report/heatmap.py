"""Heatmaps to look at: in a notebook, in a window, as a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from deeptroubles.display import Brief
from deeptroubles.errors import UsageError
from deeptroubles.pictures import as_data_uri
from deeptroubles.report.figure import heatmap_png
from deeptroubles.run.files import write_whole


@dataclass(frozen=True, repr=False)
class DrawnHeatmap(Brief):
    """Images beside their heatmaps, which share one color scale. A notebook shows it as a picture.

    Attributes:
        pictures: N x H x W x 3, 8 bit.
        values: N x h x w, raw and signed.
        title: What is shown.
        scale_label: What the values are.
    """

    pictures: npt.NDArray[np.uint8]
    values: npt.NDArray[np.float64]
    title: str
    scale_label: str

    def save(self, path: str | Path) -> Path:
        """Write a PNG file and return its path."""
        write_whole(Path(path), self._png())
        return Path(path)

    def show(self) -> None:
        """Open it with the program that shows pictures on this machine; in a notebook, the last line of a cell does."""
        Image.open(io.BytesIO(self._png())).show(self.title)

    def _png(self) -> bytes:
        return heatmap_png(self.pictures, self.values, self.title, self.scale_label)

    def _repr_html_(self) -> str:
        low, high = float(np.nanmin(self.values)), float(np.nanmax(self.values))
        text = f"{self.title}: {len(self.values)} heatmap(s), from {low:.3g} to {high:.3g}"
        shown = io.BytesIO()  # a notebook keeps what it shows: a tenth of the PNG file
        Image.open(io.BytesIO(self._png())).convert("RGB").save(shown, "WEBP", quality=85)
        source = as_data_uri(shown.getvalue(), "image/webp")
        return f'<img src="{source}" alt="{escape(text)}" style="width:750px;max-width:100%">'


def heatmap(values: Any, images: Any, title: str = "", scale_label: str = "value") -> DrawnHeatmap:
    """Draw maps over the images that they explain: `dt.heatmap(dt.grad_cam(model, pixels), pixels).show()`.

    Args:
        values: One map (h x w) or several (N x h x w), raw and signed, as attribution methods return them: a tensor or
            an array. NaN is left clear.
        images: As many images (C x H x W or N x C x H x W, in [0, 1], C is 1 or 3): a tensor or an array.
        title: What is shown.
        scale_label: What the values are, with their unit.

    Returns:
        A drawing with `show()` and `save(path)`, which a notebook shows by itself. All maps share one color scale.

    Raises:
        UsageError: The images are a file, the shapes do not fit, or no value of the maps is a finite number.
    """
    if isinstance(images, (str, Path)):
        raise UsageError(
            "A file has other pixels than the model sees. Give those: pixels = model.prepare(Image.open(file)), then "
            "dt.heatmap(maps, pixels)."
        )
    maps, pixels = (np.asarray(_on_cpu(each), dtype=np.float64) for each in (values, images))
    maps, pixels = maps[None] if maps.ndim == 2 else maps, pixels[None] if pixels.ndim == 3 else pixels
    if maps.ndim != 3 or pixels.ndim != 4 or len(maps) != len(pixels) or pixels.shape[1] not in {1, 3} or not len(maps):
        raise UsageError(
            f"Maps of {maps.shape} and images of {pixels.shape} do not fit; give N x h x w maps and N x C x H x W "
            "images (C is 1 or 3)."
        )
    if not np.isfinite(maps).any():
        raise UsageError("No value of the maps is a finite number; there is nothing to draw.")
    eight_bit = (pixels.clip(0, 1) * 255).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return DrawnHeatmap(np.repeat(eight_bit, 3, 3) if eight_bit.shape[3] == 1 else eight_bit, maps, title, scale_label)


def _on_cpu(values: Any) -> Any:
    return values.detach().cpu() if hasattr(values, "detach") else values
