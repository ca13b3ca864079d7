"""Make docs/images/stylized.webp, in a minute or two: `python docs/stylized.py`."""
# ruff: noqa: INP001

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from PIL import Image
from skimage import data
from torch import Tensor

import deeptroubles as dt
from deeptroubles.report.figure import draw_pictures

SIZE = 160
PAIRS = (("chelsea", "brick"), ("coffee", "gravel"))
"""Photographs that come with scikit-image, and the texture for each."""


def main() -> None:
    """Two photographs with the textures of others, and a silhouette filled with these."""
    network = dt.load_classifier("efficientnet-lite0", size=SIZE)
    shapes, styles = (torch.stack([_shown(network, name) for name in names]) for names in zip(*PAIRS, strict=True))
    columns = {
        "shape": shapes,
        "texture": styles,
        "amplitude": dt.transforms.amplitude_mix(shapes, styles),
        "gatys": dt.transforms.gatys(network, shapes, styles).images,
    }
    horse = _shown(network, "horse")
    filled = dt.transforms.silhouette((horse.mean(0) < 0.5).expand(2, -1, -1), styles)
    pictures = [images[row] for row in range(len(PAIRS)) for images in columns.values()]
    _save([*pictures, horse, *filled], [*columns] * len(PAIRS) + ["shape", "silhouette", "silhouette"])


def _shown(network: dt.Classifier, name: str) -> Tensor:
    array = getattr(data, name)()
    image = Image.fromarray(array if array.dtype != bool else (array * 255).astype("uint8"))
    return network.prepare(image.convert("RGB"))


def _save(pictures: list[Tensor], captions: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "page.png"
        draw_pictures([p.numpy() for p in pictures], captions, "Shapes with the texture of something else", drawn, 4)
        with Image.open(drawn) as page:
            smaller = page.convert("RGB")
            smaller.thumbnail((1120, 11200))
            smaller.save(Path(__file__).parent / "images" / "stylized.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
