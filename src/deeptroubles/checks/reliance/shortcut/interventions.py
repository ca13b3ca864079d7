"""Interventions: put a candidate into images of other classes and take it out of its own, each against controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.reliance.shortcut.candidates import Candidate
from deeptroubles.engine import Arrays
from deeptroubles.methods.reliance.treatments import TREATMENTS, amount_for, change, treat, treatments_for
from deeptroubles.methods.transforms.inpaint import inpaint
from deeptroubles.methods.transforms.shared.masks import dilate, elsewhere
from deeptroubles.methods.transforms.shared.overlay import Overlay, control, lay
from deeptroubles.subject import Subject, logits_of

RECIPIENTS, FIRST = 160, 60
"""Images of other classes that get a candidate, and how many are tried first: most candidates change nothing."""
CARRIERS = 60
"""Images from which a candidate is removed."""
SMALL = 0.05
"""The others are not tried if the first ones rule out an effect above this."""
VERSIONS = 10
"""Columns: unchanged, with the candidate, and at most eight controls."""
OVERLAP = 0.25
"""A control may show at most this part of the candidate's place."""
MATCHING = 24
"""Images on which the amount of another treatment is matched."""


def insert_all(
    subject: Subject, items: Sequence[dict[str, Any]], batch_size: int, *, pool: list[int], seed: int
) -> Arrays:
    """Put candidates into images of other classes that do not carry them.

    `probability` is candidates x RECIPIENTS x VERSIONS, of the candidate's class; NaN where nothing was shown. The
    versions after the first two are the controls, in the order of `control_names`. `recipients` are rows (-1: none).
    """
    found = [_insert(subject, item, batch_size, pool, seed) for item in items]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def remove_all(subject: Subject, items: Sequence[dict[str, Any]], batch_size: int) -> Arrays:
    """Take patches out of images that carry them: candidates x CARRIERS x 3, probabilities of the candidate's class.

    Images are unchanged, with the patch in-painted, and with an equal area elsewhere in-painted; NaN for treatments and
    where there are fewer carriers.
    """
    return {"probability": np.stack([_remove(subject, item, batch_size) for item in items])}


def control_names(item: dict[str, Any], channels: int) -> list[str]:
    """The controls of a candidate. Treatments are compared with others of their sort, unless the item excludes them."""
    if not item["bits"]:
        others = treatments_for(channels)
        sort = TREATMENTS[item["name"]].sort
        names = [n for n, t in others.items() if t.sort == sort and n not in {item["name"], *item["excluded"]}]
        return names[: VERSIONS - 2]
    return [*("a scrambled patch" for _ in range(2)), *("another part of the same images" for _ in range(3))]


def versions(recipients: Tensor, donors: Tensor, masks: Tensor, item: dict[str, Any], seed: int) -> list[Tensor | None]:
    """The recipients unchanged, with the candidate, and with each control (None where it would show the candidate)."""
    if not item["bits"]:
        treated = treat(recipients, item["name"], item["amount"])
        some = recipients[:MATCHING]
        strength = change(some, item["name"], item["amount"])
        names = control_names(item, recipients.shape[1])
        return [recipients, treated, *(treat(recipients, n, amount_for(some, n, strength)) for n in names)]
    patch = Overlay(donors, masks[:, None].to(donors))
    scrambled = [lay(recipients, control(patch, number, seed)) for number in (1, 2)]
    return [recipients, lay(recipients, patch), *scrambled, *_moved(recipients, donors, masks)]


def _moved(recipients: Tensor, donors: Tensor, masks: Tensor) -> list[Tensor | None]:
    """What the donors show half the image away, at the place of the patch."""
    half_height, half_width = donors.shape[-2] // 2, donors.shape[-1] // 2
    shown: list[Tensor | None] = []
    for shift in ((half_height, 0), (0, half_width), (half_height, half_width)):
        overlap = (masks & masks.roll(shift, (1, 2))).sum((1, 2)) / masks.sum((1, 2))
        image = torch.where(masks[:, None], donors.roll(shift, (2, 3)), recipients)
        shown.append(image if float(overlap.median()) <= OVERLAP else None)
    return shown


def recipients_of(item: dict[str, Any], subject: Subject, pool: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Images of other classes that do not carry the candidate, at random."""
    everyone = np.array(pool)
    others = everyone[(subject.targets[everyone] != item["target"]) & ~np.isin(everyone, item["rows"])]
    return np.random.default_rng([seed, item["target"]]).permutation(others)[:RECIPIENTS]


def pairs_of(item: dict[str, Any], recipients: NDArray[np.int64]) -> NDArray[np.int64]:
    """Recipients and the positions of their donors among the carriers, which take turns: R x 2."""
    return np.stack([recipients, np.arange(len(recipients)) % len(item["rows"])], axis=1)


def shown_versions(subject: Subject, item: dict[str, Any], chosen: NDArray[np.int64], seed: int) -> list[Tensor | None]:
    """The `versions` of some pairs of a recipient and the position of its donor."""
    recipients = subject.pixels(chosen[:, 0].tolist())
    if not item["bits"]:
        return versions(recipients, recipients, recipients[:, 0], item, seed)
    used, where = np.unique(chosen[:, 1], return_inverse=True)
    donors = subject.pixels([item["rows"][i] for i in used])[where]
    masks = Candidate.of(item).masks_for(donors).to(donors.device)[chosen[:, 1]]
    return versions(recipients, donors, masks, item, seed)


def _insert(subject: Subject, item: dict[str, Any], batch_size: int, pool: list[int], seed: int) -> Arrays:
    chosen = pairs_of(item, recipients_of(item, subject, pool, seed))
    probability = np.full((RECIPIENTS, VERSIONS), np.nan)
    for start in range(0, len(chosen), FIRST):
        part = chosen[start : start + FIRST]
        for column, images in enumerate(shown_versions(subject, item, part, seed)):
            if images is not None:
                shown = logits_of(subject.classifier, images, batch_size).softmax(1)[:, item["target"]]
                probability[start : start + len(part), column] = shown.cpu().numpy().astype(np.float64).round(6)
        if start == 0 and _is_small(probability[: len(part)]):
            break
    recipients = np.full(RECIPIENTS, -1)
    recipients[: len(chosen)] = chosen[:, 0]
    return {"probability": probability, "recipients": recipients}


def strongest_control(probability: NDArray[np.float64]) -> int:
    """The version from 0 (unchanged) that raises the probability most, other than the candidate (1)."""
    means = np.array([column.mean() if not np.isnan(column).any() else -1.0 for column in probability.T])
    means[1] = -1.0
    return int(means.argmax())


def _is_small(probability: NDArray[np.float64]) -> bool:
    """Whether the candidate's effect is below SMALL by four standard errors."""
    effect = probability[:, 1] - probability[:, strongest_control(probability)]
    return len(effect) >= FIRST and float(effect.mean() + 4 * effect.std(ddof=1) / np.sqrt(len(effect))) < SMALL


def removed(images: Tensor, masks: Tensor) -> list[Tensor]:
    """Images unchanged, without the patch, and without an equal area elsewhere."""
    holes = dilate(masks, max(1, min(images.shape[-2:]) // 96))
    return [images, inpaint(images, holes), inpaint(images, elsewhere(holes))]


def _remove(subject: Subject, item: dict[str, Any], batch_size: int) -> NDArray[np.float64]:
    probability = np.full((CARRIERS, 3), np.nan)
    if item["bits"]:
        images = subject.pixels(item["rows"][:CARRIERS])
        masks = Candidate.of(item).masks_for(images)[:CARRIERS].to(images.device)
        for column, shown in enumerate(removed(images, masks)):
            values = logits_of(subject.classifier, shown, batch_size).softmax(1)[:, item["target"]]
            probability[: len(images), column] = values.cpu().numpy().astype(np.float64).round(6)
    return probability
