"""Pictures, heatmaps and tables of a stop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.wording import listed, percent
from deeptroubles.classifier import Classifier
from deeptroubles.findings import GridItem, Heatmap, Heatmaps, ImageGrid
from deeptroubles.pictures import picture
from deeptroubles.subject import logits_of

_SHOWN = 0.995


def grid(
    title: str,
    pictures: Sequence[Tensor] | Tensor,
    captions: Sequence[str],
    notes: Sequence[str] = (),
    *,
    strip: bool = False,
    columns: int | None = None,
) -> ImageGrid:
    """Pictures (C x H x W each, in [0, 1]) side by side; each caption and note is also its description."""
    rest = [*notes, *[""] * (len(captions) - len(notes))]
    items = [
        GridItem(
            picture=picture(pixels.detach().cpu().numpy(), ", ".join(filter(None, (caption, note)))),
            caption=caption,
            note=note,
        )
        for pixels, caption, note in zip(pictures, captions, rest, strict=True)
    ]
    return ImageGrid(title=title, items=items, strip=strip, columns=columns)


def over_pictures(
    title: str,
    maps: Sequence[Tensor | NDArray[Any]] | Tensor,
    pictures: Sequence[Tensor] | Tensor,
    captions: Sequence[str],
    scale_label: str,
) -> Heatmaps:
    """Maps (h x w each, raw and signed) over their pictures, on one scale."""
    values = [np.asarray(each, dtype=np.float64) for each in maps]
    items = [
        Heatmap(
            values=rounded(each),
            caption=caption,
            alt=f"Heatmap: {caption}",
            picture=picture(pixels.detach().cpu().numpy(), f"The picture under the heatmap: {caption}"),
        )
        for each, pixels, caption in zip(values, pictures, captions, strict=True)
    ]
    measured = np.concatenate([each[np.isfinite(each)] for each in values])
    low, high = (float(np.quantile(measured, share)) for share in (1 - _SHOWN, _SHOWN))
    diverging = bool(measured.min() < 0)
    end = max(-low, high)
    return Heatmaps(
        title=title,
        items=items,
        scale_label=scale_label,
        low=-end if diverging else low,
        high=end if diverging else max(high, low + 1e-9),
        diverging=diverging,
    )


def rounded(values: NDArray[Any], digits: int = 4) -> list[list[float | None]]:
    """A map as the page takes it: significant digits are enough to color and read it; NaN is not measured."""
    return [[float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in row] for row in values.tolist()]


def predictions(classifier: Classifier, pixels: Tensor) -> list[str]:
    """The most likely class of each image (N x C x H x W), with its probability."""
    shares, classes = logits_of(classifier, pixels).softmax(1).max(1)
    return [f"{short_name(classifier, k)} {written(p)}" for k, p in zip(classes.tolist(), shares.tolist(), strict=True)]


def written(share: float) -> str:
    """A probability; one just below 1 is not written as 100%."""
    return "above 99.9%" if share > 0.999 else f"{100 * share:.1f}%" if share >= 0.995 else percent(share)


def short_name(classifier: Classifier, index: int) -> str:
    """The name of a class without its synonyms."""
    return classifier.class_names[index].split(",")[0]


def probability(classifier: Classifier, pixels: Tensor, target: int) -> Tensor:
    """The probability of a class for each image (N x C x H x W)."""
    return logits_of(classifier, pixels).softmax(1)[:, target]


def framed(pixels: Tensor, box: Sequence[int], color: Sequence[float] = (1.0, 0.5, 0.0), width: int = 3) -> Tensor:
    """A picture (3 x H x W) with a frame around a box (top, left, bottom, right)."""
    top, left, bottom, right = (int(edge) for edge in box)
    inside = torch.zeros(pixels.shape[-2:], dtype=torch.bool)
    inside[max(0, top - width) : bottom + width, max(0, left - width) : right + width] = True
    inside[top:bottom, left:right] = False
    return torch.where(inside, torch.tensor(color).view(3, 1, 1), pixels)


def of_class(labels: Tensor, index: int, count: int) -> list[int]:
    """The first rows of a class."""
    return (labels == index).nonzero()[:count, 0].tolist()


def percent_of(shares: Sequence[float]) -> str:
    """Shares as one sentence lists them."""
    return listed([written(share) for share in shares])
