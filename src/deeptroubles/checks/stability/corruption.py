"""stability.corruption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import (
    Curve,
    Estimate,
    Evidence,
    Finding,
    GridItem,
    Heatmap,
    Heatmaps,
    ImageGrid,
    Series,
    Verdict,
)
from deeptroubles.methods.transforms.corrupt import MAIN, SEVERITIES, SMALLEST, corrupt
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.30, 0.60
MOST = 200
"""No more images than this are corrupted."""
SHOWN = 4
NAMES = tuple(MAIN)


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """What corruptions do to the answer.

    Attributes:
        severity: At which severity each image was shown with each corruption, N x 15.
        changed: Whether the answer is another one than before, N x 15.
        labelled: Whether the image's class is known, N.
        right: Whether the answer is right, N x 15; False where that is not known.
        right_before: How many of the labelled images are answered right as they are.
        left_out: Images that were not looked at.
        examples: What the corruptions look like that change most answers.
        impossible: Why images like these cannot be corrupted; '' when they can.
    """

    severity: NDArray[np.int64]
    changed: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    right: NDArray[np.bool_]
    right_before: int
    left_out: int
    examples: tuple[ImageGrid, ...]
    impossible: str = ""

    @property
    def share(self) -> Interval:
        """Mean over images of the share of corruptions that change the answer."""
        return mean_share(self.changed.mean(1))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if self.impossible:
            claim = f"Not asked: {self.impossible}."
            yield Finding(check="stability.corruption", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        share, count, by_name = self.share, len(self.changed), self.changed.mean(0)
        worst = NAMES[int(by_name.argmax())].replace("_", " ")
        yield Finding(
            check="stability.corruption",
            verdict=judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=share.value,
            claim=f"Noise, blur, weather and processing change the answer in {percent_interval(share)} of the cases; "
            f"most often {worst} ({percent(by_name.max())}).",
            criterion=criterion(
                "the mean share of 15 corruptions, at severities from 1 to 5, that change the answer",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            + " The thresholds are our convention.",
            evidence=self._evidence(),
            caveats=[
                *few(count),
                *([f"{self.left_out} images, drawn at random, were left out."] if self.left_out else []),
                (
                    "Each image is shown with each of the 15 corruptions at one severity only, every severity "
                    "three times (drawn from the seed): a cell of the heatmap rests on about "
                    f"{max(1, round(count / 5))} images."
                ),
                (
                    "Frost is drawn, where ImageNet-C has photographs of it, so that numbers are near the published "
                    "ones and not equal to them. Answers are compared with the one before, right or wrong."
                ),
            ],
        )

    def _evidence(self) -> list[Evidence]:
        value, low, high = self.share
        cells = [[self._cell(j, s) for s in SEVERITIES] for j in range(len(NAMES))]
        heatmap = Heatmap(
            values=cells,
            caption="answers that change",
            alt="Share of answers that change, by corruption and severity",
            x_ticks=[str(s) for s in SEVERITIES],
            y_ticks=[name.replace("_", " ") for name in NAMES],
        )
        return [
            Estimate(
                label="Corruptions that change the answer",
                value=value,
                low=low,
                high=high,
                n=len(self.changed),
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.examples,
            Curve(
                title="Answers by severity",
                x_label="severity (0: as it is)",
                y_label="share of answers",
                series=self._series(),
                y_range=(0.0, 1.0),
            ),
            Heatmaps(
                title="Answers that change, by corruption and severity",
                items=[heatmap],
                low=0.0,
                high=1.0,
                scale_label="share of images",
                x_label="severity",
            ),
        ]

    def _cell(self, corruption: int, severity: int) -> float | None:
        at = self.severity[:, corruption] == severity
        return round(float(self.changed[at, corruption].mean()), 4) if at.any() else None

    def _series(self) -> list[Series]:
        changed = [
            Interval(0.0, 0.0, 0.0),
            *(mean_share(_per_image(self.changed, self.severity, s)) for s in SEVERITIES),
        ]
        named = [("another answer", changed)]
        count = int(self.labelled.sum())
        if count:
            right, severity = self.right[self.labelled], self.severity[self.labelled]
            after = [mean_share(_per_image(right, severity, s)) for s in SEVERITIES]
            name = f"right answers ({count} labelled image{'s' if count > 1 else ''})"
            named.append((name, [wilson(self.right_before, count), *after]))
        return [
            Series(
                name=name,
                x=[0.0, *map(float, SEVERITIES)],
                y=[i.value for i in values],
                low=[i.low for i in values],
                high=[i.high for i in values],
            )
            for name, values in named
        ]


@check("stability.corruption")
def corruption(recording: Recording, engine: Engine, *, seed: int) -> Corruption:
    """Does the answer change under noise, blur, weather or processing?

    What it asks:
        Each image is corrupted in 15 ways (noise, blur, weather, contrast, JPEG, ...), as ImageNet-C does it, at
        severities from 1 to 5. How often is the most likely class another one than before?

    Why it matters:
        Cameras shake, lenses are dirty and it snows. People hardly notice the milder severities; a network that relies
        on fine texture loses its way.

    How to read it:
        The estimate is the mean over images of the share of corruptions that change the answer; its interval is over
        images. The curve shows how it grows with the severity, the heatmap which corruption does it.

    Limits:
        Each image sees each corruption at one severity, so that single cells of the heatmap rest on few images. The
        strongest severities hide what the image shows from people too. Frost is drawn and not photographed. Asked of
        images with 1 or 3 channels, from 28 pixels up.

    References:
        D. Hendrycks, T. Dietterich, Benchmarking neural network robustness to common corruptions and perturbations,
        ICLR 2019.
    """
    subject, everything = recording.subject, np.arange(len(recording.logits))
    size, channels = subject.classifier.size, subject.classifier.channels
    none = np.zeros((0, len(NAMES)), dtype=np.int64)
    if channels not in {1, 3} or min(size) < SMALLEST:
        why = f"corruptions are defined for 1 or 3 channels and at least {SMALLEST} pixels along each side"
        return Corruption(
            severity=none,
            changed=none > 0,
            labelled=none[:, 0] > 0,
            right=none > 0,
            right_before=0,
            left_out=0,
            examples=(),
            impossible=why,
        )
    random = np.random.default_rng(seed)
    rows = np.sort(random.permutation(everything)[:MOST])
    # Every image meets every severity three times, and five neighbouring images meet a corruption at all five.
    starts = random.permutation(np.arange(len(NAMES)) % len(SEVERITIES))
    seen = engine.map(_corrupted, subject, rows, task="Corrupting images", starts=starts.tolist(), seed=seed)
    severity, changed = _severities(rows, starts), seen["answer"] != recording.predicted[rows, None]
    targets, predicted = recording.targets[rows], recording.predicted[rows]
    return Corruption(
        severity=severity,
        changed=changed,
        labelled=targets >= 0,
        right=seen["answer"] == targets[:, None],
        right_before=int((predicted == targets).sum()),
        left_out=len(everything) - len(rows),
        examples=_examples(recording, rows, severity, changed, seen["answer"], seed),
    )


def _severities(
    indices: Sequence[int] | NDArray[np.int64], starts: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.int64]:
    severities: NDArray[np.int64] = (np.asarray(indices)[:, None] + np.asarray(starts)) % len(SEVERITIES) + 1
    return severities


def _corrupted(
    subject: Subject, indices: Sequence[int], batch_size: int, starts: Sequence[int], seed: int
) -> dict[str, NDArray[Any]]:
    """The answer to each image under each corruption, N x 15."""
    pixels, severities = subject.pixels(indices), _severities(indices, starts)
    answers = []
    for j, name in enumerate(NAMES):
        shown = pixels.clone()
        for i, index in enumerate(indices):
            shown[i] = corrupt(pixels[i : i + 1], name, int(severities[i, j]), seed=seed + index)[0]
        answers.append(logits_of(subject.classifier, shown, batch_size).argmax(1).cpu().numpy())
    return {"answer": np.stack(answers, axis=1)}


def _per_image(values: NDArray[np.bool_], severity: NDArray[np.int64], level: int) -> NDArray[np.float64]:
    """The mean of each row's values at one severity, N."""
    at = severity == level
    return np.asarray((values & at).sum(1) / at.sum(1))


def _examples(
    recording: Recording,
    rows: NDArray[np.int64],
    severity: NDArray[np.int64],
    changed: NDArray[np.bool_],
    answers: NDArray[np.int64],
    seed: int,
) -> tuple[ImageGrid, ...]:
    """For the corruptions that change most answers: the mildest one that did, beside the image as it is."""
    names, grids = recording.subject.classifier.class_names, []
    used: set[int] = set()
    for j in np.argsort(-changed.mean(0), kind="stable")[:SHOWN]:
        candidates = [int(i) for i in np.flatnonzero(changed[:, j])]
        if not candidates:
            continue
        i = min(candidates, key=lambda i: (i in used, severity[i, j]))
        used.add(i)
        image, what = recording.subject.pixels([int(rows[i])]), NAMES[j].replace("_", " ")
        level, first = int(severity[i, j]), names[recording.predicted[rows[i]]]
        spoilt = corrupt(image, NAMES[j], level, seed=seed + int(rows[i]))[0]
        answered = names[answers[i, j]]
        before = picture(image[0].cpu().numpy(), f"An image answered {first}")
        after = picture(spoilt.cpu().numpy(), f"The same image with {what}, answered {answered}")
        chance = percent(recording.probabilities[rows[i]].max())
        items = [
            GridItem(picture=before, caption=first, note=f"as it is, {chance}"),
            GridItem(picture=after, caption=answered, note=f"{what}, severity {level}"),
        ]
        grids.append(ImageGrid(title=f"{first}: as it is, and with {what}", items=items, strip=True))
    return tuple(grids)
