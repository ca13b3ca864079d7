"""The examples of `reliance.shortcut`: what moves the prediction, and images before and after."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.reliance.shortcut.swaps import Confirmation
from deeptroubles.checks.wording import percent
from deeptroubles.findings import GridItem, Heatmap, ImageGrid
from deeptroubles.methods.reliance.shortcut_effects import located
from deeptroubles.methods.transforms.shared.neutralize import neutralize
from deeptroubles.methods.transforms.shared.scenery import GRID, WINDOW_WIDTH, WINDOWS, window
from deeptroubles.methods.transforms.swap import swap
from deeptroubles.pictures import picture

CROPS_SHOWN, EXAMPLES_SHOWN = 5, 3


def crops(of: Confirmation) -> ImageGrid:
    """What images of the class donate: the window, or the image without its object."""
    scenery, size = of.scenery, of.scenery.images.shape[-2:]
    items = []
    for giver in torch.unique(of.givers)[:CROPS_SHOWN].tolist():
        of_object = of.channel in {"position", "inner texture"}
        image = scenery.images[giver] if of_object else scenery.background[giver]
        if of.channel in WINDOWS:
            inside = window(size, *WINDOWS[of.channel])
            image = image[:, inside.any(1)][:, :, inside.any(0)]
        shown = picture(image.cpu().numpy(), f"What an image of {of.name} donates")
        items.append(GridItem(picture=shown, caption=of.name))
    return ImageGrid(title=f"What moves the prediction to {of.name}", items=items)


def examples(of: Confirmation, inserted: NDArray[np.float64], removed: NDArray[np.float64]) -> tuple[ImageGrid, ...]:
    """The images with the largest effects, before and after; probabilities are those of `confirm`."""
    found = []
    for i in np.argsort(inserted[:, 0] - inserted[:, 1], kind="stable")[:EXAMPLES_SHOWN].tolist():
        before = of.scenery.images[of.recipients[i]]
        after = swap(of.scenery, of.channel, of.recipients[i : i + 1], of.givers[i : i + 1])[0]
        found.append(_example(f"Inserted into an image that is not {of.name}", of.name, before, after, inserted[i]))
    i = int(np.argmax(removed[:, 0] - removed[:, 1]))
    after = neutralize(of.scenery, of.channel, of.own[i : i + 1])[0]
    taken = _example(f"Removed from an image of {of.name}", of.name, of.scenery.images[of.own[i]], after, removed[i])
    return (*found, taken)


def _example(title: str, name: str, before: Tensor, after: Tensor, probability: NDArray[np.float64]) -> ImageGrid:
    items = [
        GridItem(
            picture=picture(image.cpu().numpy(), f"{title}: {when}"), note=when, caption=f"{name} {percent(float(p))}"
        )
        for image, when, p in zip((before, after), ("before", "after"), probability, strict=False)
    ]
    return ImageGrid(title=title, items=items, strip=True)


def place_map(of: Confirmation, windows: NDArray[np.float64]) -> Heatmap:
    """The mean effect of the windows that cover each cell of the image, over an image of the class."""
    total, count = np.zeros((GRID, GRID)), np.zeros((GRID, GRID))
    for (row, column), effect in zip(WINDOWS.values(), windows.ravel(), strict=True):
        total[row : row + WINDOW_WIDTH, column : column + WINDOW_WIDTH] += effect
        count[row : row + WINDOW_WIDTH, column : column + WINDOW_WIDTH] += 1
    shown = picture(of.scenery.images[of.givers[0]].cpu().numpy(), f"An image of {of.name}")
    where = place_words(located(windows))
    return Heatmap(
        values=np.round(np.maximum(total / count, 0), 4).tolist(),
        caption=of.name,
        picture=shown,
        alt=f"The windows that move the prediction to {of.name} most are at the {where}",
    )


def place_words(place: tuple[int, int, int, int] | None) -> str:
    """A box of cells, in words."""
    if place is None:
        return "varying positions"
    top, left, bottom, right = place
    vertical = ("top", "middle", "bottom")[min(2, int(3 * (top + bottom) / 2 / GRID))]
    horizontal = ("left", "center", "right")[min(2, int(3 * (left + right) / 2 / GRID))]
    if vertical == "middle":
        return "center" if horizontal == "center" else f"{horizontal} side"
    return vertical if horizontal == "center" else f"{vertical} {horizontal}"
