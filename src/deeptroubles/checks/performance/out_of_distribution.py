"""performance.out_of_distribution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Finding, GridItem, ImageGrid, Table
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.transforms.shared.out_of_distribution import KINDS, unfamiliar_images
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.auroc import auroc
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

EACH = 12
"""Pictures of each kind."""
WARN_AT, FAIL_AT = 0.2, 0.4
"""Shares of pairs (an image, a picture of nothing) in which it is surer of the picture; 50 % is guessing."""


@dataclass(frozen=True, kw_only=True)
class Unfamiliar:
    """How sure it is of pictures of no class, beside the images.

    Attributes:
        own: Highest probability on each image, N.
        own_energy: Log of the sum of the exponentials of the logits on each image, N.
        others: The same two for each kind of picture, by its name, EACH.
        examples: One picture of each kind.
    """

    own: NDArray[np.float64]
    own_energy: NDArray[np.float64]
    others: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    examples: ImageGrid

    def separation(self, kinds: Sequence[str], which: int) -> Interval:
        """AUROC of images against pictures, by the highest probability (0) or the energy (1)."""
        mine = (self.own, self.own_energy)[which]
        theirs = np.concatenate([self.others[kind][which] for kind in kinds])
        values = np.concatenate([mine, theirs])[:, None]
        area = auroc(values, (np.arange(len(values)) < len(mine))[:, None])
        low, high = area.interval(0.95)
        return Interval(float(area.value[0, 0]), float(low[0, 0]), float(high[0, 0]))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        kinds, count = list(self.others), len(self.own)
        area = self.separation(kinds, 0)
        wrong = Interval(1 - area.value, 1 - area.high, 1 - area.low)
        sure = {kind: float(values[0].mean()) for kind, values in self.others.items()}
        worst = max(sure, key=lambda kind: sure[kind])
        columns = [
            Column(name="pictures"),
            Column(name="mean probability", kind="probability"),
            Column(name="AUROC, probability", kind="number"),
            Column(name="AUROC, energy", kind="number"),
        ]
        rows: list[list[Cell]] = [["the images themselves", float(self.own.mean()), None, None]]
        rows += [
            [kind, sure[kind], round(self.separation([kind], 0).value, 3), round(self.separation([kind], 1).value, 3)]
            for kind in kinds
        ]
        yield Finding(
            check="performance.out_of_distribution",
            verdict=judge(wrong, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=wrong.value,
            claim=f"It is surer of an image than of a picture of nothing in {percent(area.value)} of the pairs "
            f"({percent(area.low)} to {percent(area.high)}); it is surest of {worst}, {percent(sure[worst])} on "
            "average.",
            criterion="Fails when it is surer of pictures of no class than of images in more than "
            f"{percent(FAIL_AT)} of the pairs with 95 % confidence (guessing is 50 %), warns above {percent(WARN_AT)}, "
            f"passes when more than {percent(FAIL_AT)} can be ruled out; inconclusive otherwise, and below {MIN_IMAGES} "
            "images.",
            evidence=[
                Estimate(
                    label="Pairs in which it is surer of nothing than of an image",
                    value=wrong.value,
                    low=wrong.low,
                    high=wrong.high,
                    n=count,
                    warn_at=WARN_AT,
                    fail_at=FAIL_AT,
                ),
                self.examples,
                Table(title="How sure it is of what it cannot know", columns=columns, rows=rows),
            ],
            caveats=[
                *few(count),
                f"{len(kinds)} kinds of made pictures, {EACH} each; photographs of other things are harder to tell.",
            ],
        )


@check("performance.out_of_distribution")
def out_of_distribution(recording: Recording, engine: Engine, *, seed: int) -> Unfamiliar:
    """Is it less sure of what belongs to no class?

    What it asks:
        Pictures of nothing (noise, plain colours, gratings, your own images with their pixels or patches shuffled) are
        shown to it. Is it less sure of them than of your images?

    Why it matters:
        A classifier always answers with one of its classes. Only its confidence can say that it does not know.

    How to read it:
        The table gives the mean probability of the answer for each kind, and the AUROC: the share of pairs of an image
        and a picture in which it is surer of the image (1: always, 0.5: no difference), by the highest probability and
        by the energy (the log of the summed exponentials of the logits).

    Limits:
        Pictures of nothing are the easy case. Things of other classes, or of other domains, are harder, and must come
        from you. Confidence that tells them apart says nothing about whether it is right.

    References:
        D. Hendrycks, K. Gimpel, A baseline for detecting misclassified and out-of-distribution examples, ICLR 2017.

        W. Liu et al., Energy-based out-of-distribution detection, NeurIPS 2020.
    """
    subject = recording.subject
    rows = recording.sample(EACH)
    found = engine.map(_show, subject, rows, task="Showing nothing", chunk=len(rows), seed=seed)
    others, items = {}, []
    for kind in KINDS:
        logits = found[kind].astype(np.float64)
        energy = logsumexp(logits, axis=1)
        share = np.exp(logits.max(1) - energy)
        others[kind] = (share, energy)
        shown = picture(found[f"{kind} example"][0].astype(np.float32) / 255, f"An example of {kind}")
        name = subject.classifier.class_names[int(logits[0].argmax())]
        items.append(GridItem(picture=shown, caption=kind, note=f"{name}, {share[0]:.0%}"))
    return Unfamiliar(
        own=recording.probabilities.max(1),
        own_energy=logsumexp(recording.logits.astype(np.float64), axis=1),
        others=others,
        examples=ImageGrid(title="Pictures of nothing, and what it takes them for", items=items),
    )


def _show(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> dict[str, NDArray[Any]]:
    """Logits of a picture of each kind for every image, and the first of each."""
    pixels = subject.pixels(indices)
    found: dict[str, NDArray[Any]] = {}
    for kind, images in unfamiliar_images(pixels, seed).items():
        found[kind] = logits_of(subject.classifier, images, batch_size).cpu().numpy()
        found[f"{kind} example"] = to_bytes(images).numpy()
    return found
