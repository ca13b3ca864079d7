"""performance.out_of_distribution: is it less confident on out-of-distribution images?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Finding, GridItem, ImageGrid, Table
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.transforms.shared.out_of_distribution import KINDS, out_of_distribution_images
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.auroc import auroc
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

EACH = 12
"""Images of each kind."""
LIMITS = Limits(
    "the share of pairs in which it is more confident on a meaningless image than on a real one (chance is 50%)",
    warn_at=0.2,
    fail_at=0.4,
)


@dataclass(frozen=True, kw_only=True)
class OutOfDistribution:
    """Confidence on meaningless images and on the real ones.

    Attributes:
        own: Highest probability on each image, N.
        own_energy: Log of the sum of the exponentials of the logits on each image, N.
        others: The same two for each kind of meaningless image, by its name, EACH.
        examples: One image of each kind.
    """

    own: NDArray[np.float64]
    own_energy: NDArray[np.float64]
    others: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    examples: ImageGrid

    def separation(self, kinds: Sequence[str], which: int) -> Interval:
        """AUROC of real against meaningless images, by the highest probability (0) or the energy (1)."""
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
        confidence = {kind: float(values[0].mean()) for kind, values in self.others.items()}
        worst = max(confidence, key=lambda kind: confidence[kind])
        columns = [
            Column(name="images"),
            Column(name="mean probability", kind="probability"),
            Column(name="AUROC, probability", kind="number"),
            Column(name="AUROC, energy", kind="number"),
        ]
        rows: list[list[Cell]] = [["your images", float(self.own.mean()), None, None]]
        rows += [
            [
                kind,
                confidence[kind],
                round(self.separation([kind], 0).value, 3),
                round(self.separation([kind], 1).value, 3),
            ]
            for kind in kinds
        ]
        yield Finding(
            check="performance.out_of_distribution",
            verdict=LIMITS.verdict(wrong, count),
            severity=wrong.value,
            claim=f"It is more confident on a meaningless image than on a real one in {percent_interval(wrong)} of "
            f"pairs (chance is 50%); of the meaningless images, it is most confident on {worst} "
            f"({percent(confidence[worst])} on average).",
            criterion=LIMITS.criterion,
            evidence=[
                LIMITS.estimate("Pairs in which it is more confident on a meaningless image", wrong, count),
                self.examples,
                Table(title="Confidence on out-of-distribution images", columns=columns, rows=rows),
            ],
            caveats=[
                *few(count),
                (
                    f"Tested on {len(kinds)} kinds of synthetic images, {EACH} each; photographs of other things are "
                    "harder."
                ),
            ],
        )


@check("performance.out_of_distribution")
def out_of_distribution(recording: Recording, engine: Engine, *, seed: int) -> OutOfDistribution:
    """Is it less confident on out-of-distribution images?

    What it asks:
        The network sees meaningless images: noise, plain colors, gratings, and your own images with shuffled pixels or
        patches. Is it less confident on them than on your images?

    Why it matters:
        A classifier always predicts one of its classes. Only its confidence can show that none of them fits.

    How to read it:
        The table gives the mean probability of the prediction for each kind, and the AUROC: the share of pairs of a
        real and a meaningless image in which it is more confident on the real one (1: always, 0.5: no difference), by
        the highest probability and by the energy (the log of the summed exponentials of the logits).

    Limits:
        Meaningless images are the easy case. Objects of other classes or domains are harder, and must come from you.
        Good separation does not show that predictions are correct.

    References:
        D. Hendrycks, K. Gimpel, A baseline for detecting misclassified and out-of-distribution examples, ICLR 2017.

        W. Liu et al., Energy-based out-of-distribution detection, NeurIPS 2020.
    """
    subject = recording.subject
    rows = recording.sample(EACH)
    found = engine.map(_show, subject, rows, task="Predicting meaningless images", chunk=len(rows), seed=seed)
    others, items = {}, []
    for kind in KINDS:
        logits = found[kind].astype(np.float64)
        energy = logsumexp(logits, axis=1)
        share = np.exp(logits.max(1) - energy)
        others[kind] = (share, energy)
        shown = picture(found[f"{kind} example"][0].astype(np.float32) / 255, f"An example of {kind}")
        name = subject.classifier.class_names[int(logits[0].argmax())]
        items.append(GridItem(picture=shown, caption=kind, note=f"{name}, {share[0]:.0%}"))
    return OutOfDistribution(
        own=recording.probabilities.max(1),
        own_energy=logsumexp(recording.logits.astype(np.float64), axis=1),
        others=others,
        examples=ImageGrid(title="Meaningless images and their predictions", items=items),
    )


def _show(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> Arrays:
    """Logits of an image of each kind for every real image, and the images."""
    pixels = subject.pixels(indices)
    found: dict[str, NDArray[Any]] = {}
    for kind, images in out_of_distribution_images(pixels, seed).items():
        found[kind] = logits_of(subject.classifier, images, batch_size).cpu().numpy()
        found[f"{kind} example"] = to_bytes(images).numpy()
    return found
