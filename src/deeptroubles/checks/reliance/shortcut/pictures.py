"""What `reliance.shortcut` shows: the pieces that move the answer, and images before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.findings import GridItem, Heatmap, ImageGrid
from deeptroubles.methods.reliance.shortcut_effects import located
from deeptroubles.methods.transforms.shared.neutralise import neutralise
from deeptroubles.methods.transforms.swap import STEPS, WIDE, WINDOWS, Scenery, swap, window
from deeptroubles.pictures import picture

PIECES, STORIES = 5, 3


@dataclass(frozen=True)
class Cast:
    """Images that prove a cue, taken apart, and which of them play which part.

    Attributes:
        scenery: The images.
        name: The class that the cue speaks for.
        channel: What is swapped: a key of CHANNELS or WINDOWS.
        recipients: P, images of other classes.
        givers: P, images of the class.
        same: P, images of each recipient's own class.
        own: L, images of the class from which the cue is taken out.
    """

    scenery: Scenery
    name: str
    channel: str
    recipients: Tensor
    givers: Tensor
    same: Tensor
    own: Tensor


def pieces(cast: Cast) -> ImageGrid:
    """What images of the class give: the window, or the image that it is taken from without its object."""
    scenery, size = cast.scenery, cast.scenery.images.shape[-2:]
    items = []
    for giver in torch.unique(cast.givers)[:PIECES].tolist():
        of_object = cast.channel in {"position", "inner texture"}
        image = scenery.images[giver] if of_object else scenery.background[giver]
        if cast.channel in WINDOWS:
            inside = window(size, *WINDOWS[cast.channel])
            image = image[:, inside.any(1)][:, :, inside.any(0)]
        shown = picture(image.cpu().numpy(), f"What an image of {cast.name} gives")
        items.append(GridItem(picture=shown, caption=cast.name))
    return ImageGrid(title=f"What moves the answer to {cast.name}", items=items)


def stories(cast: Cast, inserted: NDArray[np.float64], removed: NDArray[np.float64]) -> tuple[ImageGrid, ...]:
    """The images that are moved most, before and after; the probabilities are those of Counterfactual."""
    told = []
    for i in np.argsort(inserted[:, 0] - inserted[:, 1], kind="stable")[:STORIES].tolist():
        before = cast.scenery.images[cast.recipients[i]]
        after = swap(cast.scenery, cast.channel, cast.recipients[i : i + 1], cast.givers[i : i + 1])[0]
        told.append(_story(f"Put into an image that is not {cast.name}", cast.name, before, after, inserted[i]))
    i = int(np.argmax(removed[:, 0] - removed[:, 1]))
    after = neutralise(cast.scenery, cast.channel, cast.own[i : i + 1])[0]
    taken = _story(
        f"Taken out of an image of {cast.name}", cast.name, cast.scenery.images[cast.own[i]], after, removed[i]
    )
    return (*told, taken)


def _story(title: str, name: str, before: Tensor, after: Tensor, probability: NDArray[np.float64]) -> ImageGrid:
    items = [
        GridItem(
            picture=picture(image.cpu().numpy(), f"{title}: {when}"), note=when, caption=f"{name} {percent(float(p))}"
        )
        for image, when, p in zip((before, after), ("before", "after"), probability, strict=False)
    ]
    return ImageGrid(title=title, items=items, strip=True)


def place_map(cast: Cast, windows: NDArray[np.float64]) -> Heatmap:
    """The mean effect of the windows that cover each step of the image, over an image of the class."""
    total, count = np.zeros((STEPS, STEPS)), np.zeros((STEPS, STEPS))
    for (row, column), effect in zip(WINDOWS.values(), windows.ravel(), strict=True):
        total[row : row + WIDE, column : column + WIDE] += effect
        count[row : row + WIDE, column : column + WIDE] += 1
    shown = picture(cast.scenery.images[cast.givers[0]].cpu().numpy(), f"An image of {cast.name}")
    where = place_words(located(windows))
    return Heatmap(
        values=np.round(np.maximum(total / count, 0), 4).tolist(),
        caption=cast.name,
        picture=shown,
        alt=f"The windows that move the answer to {cast.name} most are at the {where}",
    )


def place_words(place: tuple[int, int, int, int] | None) -> str:
    """A box in steps, in words."""
    if place is None:
        return "places that differ from image to image"
    top, left, bottom, right = place
    vertical = ("top", "middle", "bottom")[min(2, int(3 * (top + bottom) / 2 / STEPS))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (left + right) / 2 / STEPS))]
    if vertical == "middle":
        return "centre" if horizontal == "centre" else f"{horizontal} side"
    return vertical if horizontal == "centre" else f"{vertical} {horizontal}"
