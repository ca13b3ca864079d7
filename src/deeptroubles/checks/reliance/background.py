"""reliance.background."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.options import LABELS, MASKS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.transforms.shared.backgrounds import (
    black_box,
    no_foreground,
    on_background,
    only_foreground,
    tiled_background,
)
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.05, 0.15
MOST = 256
"""So many objects are put on other backgrounds, evenly spread."""
DRAWS = 3
"""On so many backgrounds of each kind."""
SHOWN = 3

VARIANTS = {
    "Original": "the image as it is",
    "Mixed-same": "on the background of another image of its class",
    "Mixed-rand": "on the background of an image of any class",
    "Mixed-next": "on the background of the next class",
    "Only-FG": "the object on black",
    "No-FG": "black in the object's shape",
    "Only-BG-B": "black in the object's box",
    "Only-BG-T": "background in the object's box",
}
MIXED = ("Mixed-same", "Mixed-rand", "Mixed-next")
PUBLISHED = {
    "ResNet-50": 0.073,
    "VGG-16 with batch normalisation": 0.102,
    "ResNet-152": 0.058,
    "ResNet-50 trained on the nine classes alone": 0.142,
    "the same, trained on Mixed-rand": 0.002,
}
"""The gap on ImageNet-9 (Xiao et al., 2021)."""


@dataclass(frozen=True, kw_only=True)
class Background:
    """How often each image is answered rightly in each variant (N x variants, shares over draws of backgrounds)."""

    right: NDArray[np.float64]
    stories: tuple[ImageGrid, ...]

    @property
    def gap(self) -> NDArray[np.float64]:
        """How much more often each image is right on a background of its class than on that of any class; N."""
        same, rand = (list(VARIANTS).index(name) for name in MIXED[:2])
        return self.right[:, same] - self.right[:, rand]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        rule = (
            criterion(
                "the accuracy on backgrounds of the object's own class less that on backgrounds of any class (the "
                "BG-gap of ImageNet-9)",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            + " Published gaps: "
            + ", ".join(f"{name} {percent(value)}" for name, value in PUBLISHED.items())
            + "."
        )
        count = len(self.right)
        if not count:
            claim = "There are 0 objects with a mask for which there is a background of the same and of another class."
            yield Finding(
                check="reliance.background",
                verdict=Verdict.INCONCLUSIVE,
                claim=claim,
                criterion=rule,
                caveats=["Give masks for at least two images of two classes."],
            )
            return
        gap, shares = mean_difference(self.gap), self._shares()
        yield Finding(
            check="reliance.background",
            verdict=judge(gap, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=max(0.0, gap.value),
            claim=f"On the background of its own class an object is answered rightly in "
            f"{percent(shares['Mixed-same'].value)} of the cases, on that of any class in "
            f"{percent(shares['Mixed-rand'].value)}: a gap of {percent_interval(gap)}. From the background alone "
            f"{percent(shares['Only-BG-T'].value)} are right, from the object alone "
            f"{percent(shares['Only-FG'].value)}.",
            criterion=rule,
            evidence=self._evidence(gap, shares),
            caveats=[
                *few(count),
                f"Each object is put on {DRAWS} backgrounds of each kind; the interval is over objects.",
                "A pasted object has a hard outline and no shadow; both kinds of background share that.",
                "Published gaps are over nine groups of classes, these over the classifier's own classes.",
            ],
        )

    def _shares(self) -> dict[str, Interval]:
        return {name: mean_share(column) for name, column in zip(VARIANTS, self.right.T, strict=True)}

    def _evidence(self, gap: Interval, shares: dict[str, Interval]) -> list[Evidence]:
        columns = [
            Column(name="variant"),
            Column(name="what is shown"),
            Column(name="right", kind="share"),
            Column(name="95 % interval", kind="interval"),
        ]
        rows: list[list[Cell]] = [
            [name, VARIANTS[name], round(s.value, 4), [s.low, s.high]] for name, s in shares.items()
        ]
        return [
            Estimate(
                label="Accuracy lost on backgrounds of any class (BG-gap)",
                value=gap.value,
                low=gap.low,
                high=gap.high,
                n=len(self.right),
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.stories,
            Table(title="Right answers in each variant of ImageNet-9", columns=columns, rows=rows),
        ]


@check("reliance.background", needs=[LABELS, MASKS])
def background(recording: Recording, engine: Engine, *, seed: int) -> Background:
    """Does the answer hang on the background?

    What it asks:
        Each object is cut out along its mask and put on the background of another image of its class, of an image of
        any class, and of the next class. How much less often is it answered rightly when the background says nothing?
        The object alone and the background alone are shown too.

    Why it matters:
        Cows stand on grass. A classifier that has learned the grass is right until a cow stands on a beach.

    How to read it:
        The estimate is the accuracy on backgrounds of the object's own class less that on backgrounds of any class,
        image by image. 0 means that the background does not matter. Accuracy from the background alone (Only-BG-T) that
        is well above chance says that backgrounds tell the class, and that the network has learned it. The pictures
        show objects whose answer hangs most on the background, in all variants.

    Limits:
        It needs masks of the objects. A background of any class can be of the object's own. A mask that is too small
        leaves a rim of the object in the background; one that is too large takes background along.

    References:
        K. Xiao et al., Noise or signal: the role of image backgrounds in object recognition, ICLR 2021.
    """
    rows, donors = _donors(recording, seed)
    if not len(rows):
        return Background(right=np.zeros((0, len(VARIANTS))), stories=())
    by_row = np.full((len(recording.logits), *donors.shape[1:]), -1)
    by_row[rows] = donors
    found = engine.map(_variants, recording.subject, rows, task="Changing backgrounds", donors=by_row.tolist())
    result = Background(right=found["right"].astype(np.float64), stories=())
    order = np.argsort(-result.gap, kind="stable")[:SHOWN]
    return Background(right=result.right, stories=tuple(_story(recording, int(rows[i]), by_row) for i in order))


def _donors(recording: Recording, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Objects that can be put on all kinds of background (N), and whose backgrounds they get (N x draws x 3)."""
    masked = np.intersect1d(recording.masked, recording.labelled)
    targets = recording.targets
    by_class = {k: masked[targets[masked] == k] for k in np.unique(targets[masked]).tolist()}
    classes = list(by_class)
    usable = [row for row in masked.tolist() if len(by_class[targets[row]]) > 1 and len(classes) > 1]
    if not usable:
        return np.zeros(0, dtype=np.int64), np.zeros((0, DRAWS, len(MIXED)), dtype=np.int64)
    rows = np.array(usable)[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), MOST)).astype(int))]
    chosen = []
    for row in rows.tolist():
        random, own = np.random.default_rng([seed, row]), targets[row]
        following = classes[(classes.index(own) + 1) % len(classes)]
        for _ in range(DRAWS):
            any_class = by_class[classes[random.integers(len(classes))]]
            chosen.append(
                [int(random.choice(pool[pool != row])) for pool in (by_class[own], any_class, by_class[following])]
            )
    return rows, np.array(chosen).reshape(len(rows), DRAWS, len(MIXED))


def _show(subject: Subject, row: int, donors: NDArray[np.int64]) -> dict[str, Tensor]:
    """An image in every variant, with one or (mixed) several draws each; donors draws x 3."""
    pixels, masks = subject.pixels([row]), subject.masks([row])
    shown = {"Original": pixels}
    for name, chosen in zip(MIXED, donors.T.tolist(), strict=True):
        shown[name] = on_background(pixels, masks, tiled_background(subject.pixels(chosen), subject.masks(chosen)))
    alone = (only_foreground, no_foreground, black_box, tiled_background)
    return shown | {name: make(pixels, masks) for name, make in zip(list(VARIANTS)[4:], alone, strict=True)}


def _variants(
    subject: Subject, indices: Sequence[int], batch_size: int, donors: Sequence[Sequence[Sequence[int]]]
) -> dict[str, NDArray[Any]]:
    """Share of right answers in each variant, N x variants."""
    right = []
    for row in indices:
        shown = _show(subject, row, np.array(donors[row]))
        answers = logits_of(subject.classifier, torch.cat(list(shown.values())), batch_size).argmax(1)
        parts = torch.split((answers == int(subject.targets[row])).float(), [len(p) for p in shown.values()])
        right.append([float(part.mean()) for part in parts])
    return {"right": np.array(right)}


def _story(recording: Recording, row: int, donors: NDArray[np.int64]) -> ImageGrid:
    """One image in every variant, with the answers; of several draws the first that is answered wrongly."""
    subject, names = recording.subject, recording.subject.classifier.class_names
    true, items = int(recording.targets[row]), []
    for name, pixels in _show(subject, row, donors[row]).items():
        likely = logits_of(subject.classifier, pixels).softmax(1)
        wrong = likely.argmax(1) != true
        i = int(wrong.float().argmax()) if name != "Mixed-same" else int((~wrong).float().argmax())
        best = int(likely[i].argmax())
        shown = picture(pixels[i].cpu().numpy(), f"{names[true]}, {VARIANTS[name]}, answered {names[best]}")
        items.append(GridItem(picture=shown, caption=names[best], note=f"{name}, {percent(float(likely[i, best]))}"))
    return ImageGrid(title=f"{names[true]}, in every variant", items=items)
