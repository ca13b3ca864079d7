"""Keep the cues that the search found in the run folder, so that other audits can ask about them."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from deeptroubles.checks.reliance.shortcut.candidates import FIXED
from deeptroubles.checks.reliance.shortcut.interventions import MATCHING
from deeptroubles.checks.reliance.shortcut.search_pictures import place_of
from deeptroubles.methods.reliance.treatments import amount_for, change
from deeptroubles.methods.transforms.shared.named_cue import EVERYWHERE
from deeptroubles.methods.transforms.shared.overlay import PLACES
from deeptroubles.run.cues import FoundCue, write_cue
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject

if TYPE_CHECKING:
    from deeptroubles.checks.reliance.shortcut.search import Tested

LONGEST = 40
"""Characters of a class name that are used."""


def names_of(found: Iterable[Tested]) -> dict[str, Tested]:
    """Give each cue a name of its own, such as `frog-bottom-right`."""
    named: dict[str, Tested] = {}
    for tested in found:
        candidate = tested.candidate
        what = candidate.name.removeprefix("a ")
        if candidate.is_patch:
            what = place_of(candidate.masks[0]) if candidate.name == FIXED else "patch"
        first = f"{_slug(tested.class_name)[:LONGEST]}-{_slug(what)}".strip("-")
        number = next(i for i in range(1, len(named) + 2) if _numbered(first, i) not in named)
        named[_numbered(first, number)] = tested
    return named


def _slug(text: str) -> str:
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name}-{number}"


def keep_cues(named: dict[str, Tested], subject: Subject, folder: RunFolder) -> None:
    """Write cues, and the table of the images that carry them; it is empty where nothing was found."""
    for name, tested in named.items():
        if tested.candidate.is_patch:
            write_cue(folder, *_patch(name, tested, subject))
        else:
            write_cue(folder, _treatment(name, tested, subject))
    paths = subject.images.table["path"]
    rows = [
        (name, tested.class_name, str(paths.iloc[row]), kept, without)
        for name, tested in named.items()
        for row, kept, without in tested.carriers
    ]
    columns = ["cue", "class", "image", "probability", "probability_without"]
    folder.write_table("cues", pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[3:], float)))


def _treatment(name: str, tested: Tested, subject: Subject) -> FoundCue:
    treatment, amount = tested.candidate.name, tested.candidate.amount
    some = subject.pixels(tested.recipients[:MATCHING].tolist())
    strength = change(some, treatment, amount)
    controls = {other: amount_for(some, other, strength) for other in tested.controls}
    return FoundCue(name=name, treatment=treatment, amount=amount, controls=controls)


def _patch(name: str, tested: Tested, subject: Subject) -> tuple[FoundCue, bytes]:
    """A patch and its cut-out: the median of the images that carry it."""
    images = subject.pixels(tested.candidate.rows).cpu()
    masks = tested.candidate.masks_for(images)
    if tested.candidate.name == FIXED:
        return FoundCue(name=name, place=EVERYWHERE), _cut_out(images, masks[0])
    boxes = [_box(mask) for mask in masks]
    (sides, _), *_ = Counter(mask[box].shape for mask, box in zip(masks, boxes, strict=True)).most_common(1)
    whole = [i for i, box in enumerate(boxes) if masks[i][box].shape == sides]
    crops = torch.stack([images[i][:, *boxes[i]] for i in whole])
    place = Counter(_nearest_place(boxes[i], masks.shape[1:]) for i in whole).most_common(1)[0][0]
    cue = FoundCue(name=name, place=place, size=min(1.0, max(sides) / min(masks.shape[1:])))
    return cue, _cut_out(crops, masks[whole[0]][boxes[whole[0]]])


def _box(mask: Tensor) -> tuple[slice, slice]:
    """The bounding box of a mask (H x W)."""
    rows, columns = (mask.any(side).nonzero()[:, 0] for side in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _nearest_place(box: tuple[slice, slice], size: Sequence[int]) -> str:
    """The place where a box has about as much room above and to the left as it has."""
    shares = [part.start / max(1, side - (part.stop - part.start)) for part, side in zip(box, size, strict=True)]
    return min(PLACES, key=lambda place: float(np.abs(np.subtract(PLACES[place], shares)).sum()))


def _cut_out(images: Tensor, mask: Tensor) -> bytes:
    """The median of images (N x C x H x W, C is 1 or 3) inside a mask (H x W) as PNG, transparent elsewhere."""
    color = images.quantile(0.5, dim=0).expand(3, -1, -1) * mask
    both = torch.cat([color, mask[None].to(color)])
    buffer = io.BytesIO()
    Image.fromarray((both * 255).round().byte().permute(1, 2, 0).numpy(), "RGBA").save(buffer, "PNG")
    return buffer.getvalue()
