"""stability.translation: does the prediction change when the image is shifted?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.registry import check
from deeptroubles.checks.stability.shared.sweep import example
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Curve, Evidence, Finding, Heatmap, Heatmaps, ImageGrid, Series
from deeptroubles.methods.transforms.shift import ShiftBorder, shift
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

LIMITS = Limits(
    "the mean share of shifts that change the prediction",
    warn_at=0.15,
    fail_at=0.20,
    note="Published ImageNet networks change on 8% to 14% of such pairs (Zhang 2019).",
)
LENGTHS = (1, 2, 4, 8, 16, 32)
DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
EXAMPLES_SHOWN = 4
STEPS = 4
"""The map over shifts has this many steps to each side."""


@dataclass(frozen=True, kw_only=True)
class Translation:
    """The effect of shifting images on the prediction.

    `changed` says for each image, length and direction (N x L x 8) whether the prediction changed, and `in_both` how
    many images change for one and the same shift with every border.
    """

    looks: Looks
    lengths: tuple[int, ...]
    border: ShiftBorder
    changed: NDArray[np.bool_]
    in_both: int
    examples: tuple[ImageGrid, ...]
    maps: tuple[Heatmap, ...]

    @property
    def share(self) -> Interval:
        """Mean over images of the share of shifts that change the prediction."""
        return self.looks.mean_share(self.changed.mean((1, 2)))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.changed), self.share
        any_shift = self.changed.any((1, 2))
        yield Finding(
            check="stability.translation",
            verdict=self.looks.verdict(LIMITS, share),
            severity=share.value,
            claim=f"Shifting an image by {self.lengths[0]} to {self.lengths[-1]} pixels changes the prediction in "
            f"{percent_interval(share)} of cases (on {any_shift.sum()} of {count} images for at least one shift).",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(count),
                *self.looks.caveats,
                (
                    f"The uncovered margin is filled in ({self.border} border); the prediction changes on "
                    f"{any_shift.sum()} images, on {self.in_both} of them for the same shift with every border."
                ),
                (
                    "Predictions with low confidence change first. They are compared with those for the unchanged "
                    "image, correct or not."
                ),
            ],
        )

    def _evidence(self) -> list[Evidence]:
        count = len(self.changed)
        worst = [wilson(int(self.changed[:, i].any(1).sum()), count) for i in range(len(self.lengths))]
        mean = [mean_share(self.changed[:, i].mean(1)) for i in range(len(self.lengths))]
        x = [float(length) for length in self.lengths]
        series = [
            Series(
                name=name, x=x, y=[i.value for i in values], low=[i.low for i in values], high=[i.high for i in values]
            )
            for name, values in (("in the worst of 8 directions", worst), ("in a random direction", mean))
        ]
        evidence: list[Evidence] = [
            LIMITS.estimate("Shifts that change the prediction", self.share, count),
            *self.examples,
            Curve(
                title="Images whose prediction changes, by length of the shift",
                x_label="shift in pixels",
                x_scale="log",
                y_label="share of images",
                series=series,
                y_range=(0.0, 1.0),
            ),
        ]
        if self.maps:
            highest = max(value or 0 for item in self.maps for row in item.values for value in row)
            evidence.append(
                Heatmaps(
                    title="Probability of the unchanged image's prediction, by shift",
                    items=self.maps,
                    low=0.0,
                    high=float(np.ceil(highest * 10) / 10),
                    scale_label="probability",
                    x_label="pixels to the right",
                    y_label="pixels down",
                )
            )
        return evidence


@check("stability.translation")
def translation(recording: Recording, engine: Engine, *, seed: int, border: ShiftBorder = "mirror") -> Translation:
    """Does the prediction change when the image is shifted by a few pixels?

    What it asks:
        Each image is shifted by 1, 2, 4, ... up to 32 pixels (a seventh of the input at most) in eight directions. How
        often does the most likely class change?

    Why it matters:
        A photograph taken a step to the side shows the same object. Strided layers sample the image coarsely, so
        details between the samples can decide the prediction; a network can also have learned where objects usually
        are.

    How to read it:
        The estimate is the mean over images of the share of shifts that change the prediction; its interval is over
        images. The curve shows how it grows with the length of the shift, for a random direction and for the worst
        one. In the maps, the center is the unchanged image; a stable prediction gives a uniform map.

    Limits:
        The uncovered margin is filled in, and a little of the object can leave the image on the other side; the caveat
        says how many changes do not depend on the border. Only whole pixels are tried.

    References:
        R. Zhang, Making convolutional networks shift-invariant again, ICML 2019.

        A. Azulay, Y. Weiss, Why do deep convolutional networks generalize so poorly to small image transformations?,
        JMLR 2019.

        L. Engstrom et al., Exploring the landscape of spatial robustness, ICML 2019.
    """
    longest = max(1, min(recording.subject.classifier.size) // 7)
    lengths = tuple(length for length in LENGTHS if length <= longest)
    looks = look(
        recording,
        engine,
        _shifted,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(looks.found["changed"].mean((1, 2))),
        limits=LIMITS,
        views=len(lengths) * len(DIRECTIONS),
        task="Shifting images",
        seed=seed,
        lengths=list(lengths),
        border=border,
    )
    moved, changed = looks.found, looks.found["changed"]
    order = np.argsort(-changed.mean((1, 2)), kind="stable")
    least_stable = [int(i) for i in order[:EXAMPLES_SHOWN] if changed[i].any()]
    rows = [int(looks.rows[i]) for i in least_stable]
    return Translation(
        looks=looks,
        lengths=lengths,
        border=border,
        changed=changed,
        in_both=int(moved["in_both"].sum()),
        examples=tuple(
            _example(recording, moved, i, row, lengths, border) for i, row in zip(least_stable, rows, strict=True)
        ),
        maps=_maps(recording, engine, rows, lengths[-1], border),
    )


def _shifted(
    subject: Subject, indices: Sequence[int], batch_size: int, lengths: Sequence[int], border: ShiftBorder
) -> Arrays:
    """For shifted images: the probability of the first prediction, the new one, and whether it changed, N x L x 8."""
    found: dict[str, list[NDArray[Any]]] = {"changed": [], "predicted": [], "probability": [], "in_both": []}
    shifts = [(down * n, right * n) for n in lengths for down, right in DIRECTIONS]
    for image in subject.pixels(indices):
        first = int(logits_of(subject.classifier, image[None])[0].argmax())
        logits = _shifted_logits(subject, image, shifts, border, batch_size)
        changed = logits.argmax(1) != first
        by_all, which = changed.clone(), [s for s, c in zip(shifts, changed.tolist(), strict=True) if c]
        for other in get_args(ShiftBorder):
            if which and other != border:
                by_all[changed] &= _shifted_logits(subject, image, which, other, batch_size).argmax(1) != first
        shape = (len(lengths), len(DIRECTIONS))
        found["changed"].append(changed.view(shape).cpu().numpy())
        found["predicted"].append(logits.argmax(1).view(shape).cpu().numpy())
        found["probability"].append(logits.softmax(1)[:, first].view(shape).cpu().numpy())
        found["in_both"].append(np.array(bool(by_all.any())))
    return {name: np.stack(values) for name, values in found.items()}


def _shifted_logits(
    subject: Subject, image: Tensor, shifts: Sequence[tuple[int, int]], border: ShiftBorder, batch_size: int
) -> Tensor:
    parts = [shifts[i : i + batch_size] for i in range(0, len(shifts), batch_size)]
    moved = (torch.stack([shift(image, down, right, border) for down, right in part]) for part in parts)
    return torch.cat([logits_of(subject.classifier, batch, batch_size) for batch in moved])


def _grid(longest: int) -> list[int]:
    return sorted({round(longest * i / STEPS) for i in range(-STEPS, STEPS + 1)})


def _probability_map(
    subject: Subject, indices: Sequence[int], batch_size: int, longest: int, border: ShiftBorder
) -> Arrays:
    """Probability of the first prediction over a grid of shifts, N x rows x columns."""
    grid, maps = _grid(longest), []
    for image in subject.pixels(indices):
        first = int(logits_of(subject.classifier, image[None])[0].argmax())
        logits = _shifted_logits(subject, image, [(d, r) for d in grid for r in grid], border, batch_size)
        maps.append(logits.softmax(1)[:, first].view(len(grid), -1).cpu().numpy())
    return {"map": np.stack(maps)}


def _maps(
    recording: Recording, engine: Engine, rows: Sequence[int], longest: int, border: ShiftBorder
) -> tuple[Heatmap, ...]:
    if not rows:
        return ()
    maps = engine.map(
        _probability_map, recording.subject, rows, task="Mapping shifts", chunk=1, longest=longest, border=border
    )["map"]
    ticks = [f"{n:+d}" if n else "0" for n in _grid(longest)]
    names = recording.subject.classifier.class_names
    return tuple(
        Heatmap(
            values=np.round(values.astype(float), 4).tolist(),
            caption=names[recording.predicted[row]],
            alt=f"Probability of {names[recording.predicted[row]]} when the image is shifted: from "
            f"{percent(values.min())} to {percent(values.max())}",
            x_ticks=ticks,
            y_ticks=ticks,
        )
        for row, values in zip(rows, maps, strict=True)
    )


def _example(
    recording: Recording, moved: Arrays, place: int, row: int, lengths: Sequence[int], border: ShiftBorder
) -> ImageGrid:
    """The image under the shortest shift that changes its prediction, and under the worst one."""
    image, changes = recording.subject.pixels([row])[0], []
    shortest = tuple(np.argwhere(moved["changed"][place])[0])
    worst = np.unravel_index(int(moved["probability"][place].argmin()), moved["probability"][place].shape)
    for at in dict.fromkeys([shortest, tuple(worst)]):
        down, right = (lengths[at[0]] * step for step in DIRECTIONS[at[1]])
        found = int(moved["predicted"][place][at]), float(moved["probability"][place][at])
        changes.append((shift(image, down, right, border), *found, f"shifted {_in_words(down, right)}"))
    return example(recording, row, changes, "shifted")


def _in_words(down: int, right: int) -> str:
    steps = ((down, "down" if down > 0 else "up"), (right, "right" if right > 0 else "left"))
    return " and ".join(f"{abs(pixels)} px {word}" for pixels, word in steps if pixels)
