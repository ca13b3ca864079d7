"""A stylized set of images: every image with the texture of another, as files. What `deeptroubles stylize` makes."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ImagesError, UnreadableImageError, UsageError
from deeptroubles.images import ImageSet
from deeptroubles.methods.transforms.amplitude_mix import amplitude_mix
from deeptroubles.methods.transforms.gatys import STEPS, STYLE_WEIGHT, gatys
from deeptroubles.methods.transforms.silhouette import silhouette
from deeptroubles.progress import track
from deeptroubles.run.files import write_whole
from deeptroubles.workflows.choices import StylizeMethod

# No engine: no work is done on a Subject, and the files themselves are the results that are kept.


@dataclass(frozen=True)
class StylizedSet:
    """What was made.

    Attributes:
        files: One for each image, below the folder.
        left_out: How many images gave none: they or their style cannot be read, or they have no mask.
    """

    files: tuple[Path, ...]
    left_out: int


def stylize_images(
    images: ImageSet,
    styles: ImageSet,
    out: Path,
    method: StylizeMethod = "amplitude",
    *,
    network: Classifier | None = None,
    style_weight: float = STYLE_WEIGHT,
    steps: int = STEPS,
    seed: int = 0,
) -> StylizedSet:
    """Give every image the texture of another one, drawn at random, and keep the results as PNG.

    A result goes to `<label>/<label><i>-<style><j>.png` (without labels: `image<i>-style<j>.png`), where i and j are
    rows, from 1 on. So the folder is a training set with the labels of the shapes, and where styles have labels, too,
    one of images with a conflict of cues: then every image gets a style of another label than its own.

    Args:
        images: The shapes.
        styles: The textures: paintings, patterns, or images of other classes.
        out: Where the files go. What is there under their names is replaced.
        method: `amplitude`: the Fourier amplitudes of the style (quick; a stand-in for texture). `gatys`: style
            transfer with a network (the original method; slow). `silhouette`: the object's mask filled with the style,
            on white. `surface`: the same before the image's own background.
        network: For `gatys`: any convolutional network but the one that is audited with the result. Results have the
            size of its input.
        style_weight: For `gatys`: how much the style counts.
        steps: For `gatys`: steps of the optimization.
        seed: Which style each image gets.

    Raises:
        UsageError: `gatys` has no network, or `silhouette` or `surface` no masks.
        ImagesError: There is no style of another label, or nothing could be made.
        RunFolderError: A file cannot be written.
    """
    if method == "gatys" and network is None:
        raise UsageError("gatys needs a network; give one (--network), but not the one you audit.")
    if method in {"silhouette", "surface"} and images.fetch_mask is None:
        raise UsageError(f"{method} needs masks of the objects; give a manifest with a column mask.")
    chosen, files = _draw_styles(images, styles, seed), list[Path]()
    for row in track(range(len(images)), "Stylizing images"):
        style_row = int(chosen[row])
        try:
            made = _made(images, row, styles[style_row], method, network, style_weight, steps)
        except UnreadableImageError:
            continue
        if made is None:
            continue
        path = out / _name(images, row, styles, style_row)
        write_whole(path, _png(made))
        files.append(path)
    if not files:
        raise ImagesError(
            f"None of the {len(images)} images of {images.name} could be stylized; they, or their masks, "
            "cannot be read."
        )
    return StylizedSet(tuple(files), len(images) - len(files))


def _draw_styles(images: ImageSet, styles: ImageSet, seed: int) -> np.ndarray:
    """A row of the styles for each image: of another label than its own, where both have one. Every style as often."""
    random, used = np.random.default_rng(seed), Counter[int]()
    chosen = np.zeros(len(images), dtype=np.int64)
    for row, label in enumerate(images.labels):
        other = [i for i, style in enumerate(styles.labels) if label is None or style is None or style != label]
        if not other:
            raise ImagesError(f"All styles are of {label!r}, as some images are; give styles of other labels, or none.")
        fewest = min(used[i] for i in other)
        chosen[row] = random.choice([i for i in other if used[i] == fewest])
        used[int(chosen[row])] += 1
    return chosen


def _made(
    images: ImageSet,
    row: int,
    style: Image.Image,
    method: StylizeMethod,
    network: Classifier | None,
    style_weight: float,
    steps: int,
) -> Tensor | None:
    """One stylized image, C x H x W; None where it has no mask."""
    if method == "gatys" and network is not None:
        content, texture = (network.prepare(image)[None].to(network.device) for image in (images[row], style))
        return gatys(network, content, texture, style_weight=style_weight, steps=steps).images[0]
    image = images[row]
    shape, texture = _pixels(image), _pixels(_covering(style, image.size))
    if method == "amplitude":
        return amplitude_mix(shape, texture)[0]
    mask = images.mask(row)
    if mask is None:
        return None
    inside = torch.from_numpy(np.asarray(mask) >= 128)[None]
    return silhouette(inside, texture, shape if method == "surface" else None)[0]


def _covering(style: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The middle of a style, scaled so that it just covers a picture of this width and height."""
    factor = max(size[0] / style.width, size[1] / style.height)
    scaled = style.resize((max(size[0], round(style.width * factor)), max(size[1], round(style.height * factor))))
    left, top = (scaled.width - size[0]) // 2, (scaled.height - size[1]) // 2
    return scaled.crop((left, top, left + size[0], top + size[1]))


def _pixels(image: Image.Image) -> Tensor:
    """1 x 3 x H x W in [0, 1]."""
    return torch.from_numpy(np.asarray(image.convert("RGB"), dtype=np.float32) / 255).permute(2, 0, 1)[None]


def _name(images: ImageSet, row: int, styles: ImageSet, style_row: int) -> Path:
    label, style = images.labels[row], styles.labels[style_row]
    shape, texture = _file_name(label or "image"), _file_name(style or "style")
    name = f"{shape}{row + 1}-{texture}{style_row + 1}.png"
    return Path(shape, name) if label else Path(name)


def _file_name(text: str) -> str:
    """A label as part of a file's name, on any system."""
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", text).strip(". ") or "_"


def _png(pixels: Tensor) -> bytes:
    array = (pixels.cpu() * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(buffer, "PNG")
    return buffer.getvalue()
