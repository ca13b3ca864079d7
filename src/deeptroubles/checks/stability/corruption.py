"""stability.corruption: does the prediction change under noise, blur, weather or processing?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Curve, Evidence, Finding, GridItem, Heatmap, Heatmaps, ImageGrid, Series, Verdict
from deeptroubles.methods.transforms.corrupt import MAIN, MIN_SIDE, SEVERITIES, corrupt, corrupt_each
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

LIMITS = Limits("the mean share of 15 corruptions, at severities 1 to 5, that change the prediction", 0.30, 0.60)
VIEWS = 1.5 * len(MAIN)
"""What an image costs, in forward passes: corrupting it takes about half as long as predicting it."""
EXAMPLES_SHOWN = 4
NAMES = tuple(MAIN)


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """The effect of corruptions on the prediction.

    Attributes:
        looks: The images that were looked at, N; None where images like these cannot be corrupted.
        severity: The severity of each corruption for each image, N x 15.
        changed: Whether the prediction changes, N x 15.
        labelled: Whether the image's class is known, N.
        correct: Whether the prediction is correct, N x 15; False where the class is not known.
        correct_before: How many of the labelled images are classified correctly unchanged.
        examples: The corruptions that change most predictions.
        impossible: Why images like these cannot be corrupted; '' when they can.
    """

    looks: Looks | None
    severity: NDArray[np.int64]
    changed: NDArray[np.bool_]
    labelled: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    correct_before: int
    examples: tuple[ImageGrid, ...]
    impossible: str = ""

    @property
    def share(self) -> Interval:
        """Mean over images of the share of corruptions that change the prediction."""
        return self.looks.mean_share(self.changed.mean(1)) if self.looks else Interval(float("nan"), 0.0, 1.0)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if self.looks is None:
            claim = f"Skipped: {self.impossible}."
            yield Finding(check="stability.corruption", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        share, count, by_name = self.share, len(self.changed), self.changed.mean(0)
        worst = NAMES[int(by_name.argmax())].replace("_", " ")
        yield Finding(
            check="stability.corruption",
            verdict=self.looks.verdict(LIMITS, share),
            severity=share.value,
            claim=f"Noise, blur, weather and processing change the prediction in {percent_interval(share)} of cases "
            f"(most often {worst}, {percent(by_name.max())}).",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(count),
                *self.looks.caveats,
                (
                    "Each image gets each of the 15 corruptions at one severity only (drawn at random), so a cell of "
                    f"the heatmap is based on about {plural(max(1, round(count / 5)), 'image')}."
                ),
                (
                    "Frost is synthetic (ImageNet-C uses photographs), so numbers differ slightly from published ones. "
                    "Predictions are compared with those for the unchanged image, correct or not."
                ),
            ],
        )

    def _evidence(self) -> list[Evidence]:
        cells = [[self._cell(j, s) for s in SEVERITIES] for j in range(len(NAMES))]
        heatmap = Heatmap(
            values=cells,
            caption="changed predictions",
            alt="Share of predictions that change, by corruption and severity",
            x_ticks=[str(s) for s in SEVERITIES],
            y_ticks=[name.replace("_", " ") for name in NAMES],
        )
        return [
            LIMITS.estimate("Corruptions that change the prediction", self.share, len(self.changed)),
            *self.examples,
            Curve(
                title="Predictions by severity",
                x_label="severity (0: unchanged)",
                y_label="share of predictions",
                series=self._series(),
                y_range=(0.0, 1.0),
            ),
            Heatmaps(
                title="Predictions that change, by corruption and severity",
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
        named = [("changed predictions", changed)]
        count = int(self.labelled.sum())
        if count:
            correct, severity = self.correct[self.labelled], self.severity[self.labelled]
            after = [mean_share(_per_image(correct, severity, s)) for s in SEVERITIES]
            name = f"correct predictions ({plural(count, 'labelled image')})"
            named.append((name, [wilson(self.correct_before, count), *after]))
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
    """Does the prediction change under noise, blur, weather or processing?

    What it asks:
        Each image is corrupted in 15 ways (noise, blur, weather, contrast, JPEG, ...), as in ImageNet-C, at severities
        1 to 5. How often does the most likely class change?

    Why it matters:
        Cameras shake, lenses are dirty and it snows. People hardly notice the milder severities; networks that rely on
        fine texture fail.

    How to read it:
        The estimate is the mean over images of the share of corruptions that change the prediction; its interval is
        over images. The curve shows the effect of severity, the heatmap that of each corruption.

    Limits:
        Each image gets each corruption at one severity, so single cells of the heatmap are based on few images. The
        strongest severities are hard for people too. Frost is synthetic. Needs 1 or 3 channels, and 28 pixels or more.

    References:
        D. Hendrycks, T. Dietterich, Benchmarking neural network robustness to common corruptions and perturbations,
        ICLR 2019.
    """
    size, channels = recording.subject.classifier.size, recording.subject.classifier.channels
    none = np.zeros((0, len(NAMES)), dtype=np.int64)
    if channels not in {1, 3} or min(size) < MIN_SIDE:
        why = f"needs inputs with 1 or 3 channels and at least {MIN_SIDE} pixels along each side"
        return Corruption(
            looks=None,
            severity=none,
            changed=none > 0,
            labelled=none[:, 0] > 0,
            correct=none > 0,
            correct_before=0,
            examples=(),
            impossible=why,
        )
    # Every image gets every severity three times, and five neighboring images get a corruption at all five.
    starts = np.random.default_rng(seed).permutation(np.arange(len(NAMES)) % len(SEVERITIES))
    looks = look(
        recording,
        engine,
        _corrupted,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(_changed(recording, looks).mean(1)),
        limits=LIMITS,
        views=VIEWS,
        task="Corrupting images",
        seed=seed,
        starts=starts.tolist(),
        draw=seed,
    )
    rows, seen = looks.rows, looks.found
    severity, changed = _severities(rows, starts), _changed(recording, looks)
    targets, predicted = recording.targets[rows], recording.predicted[rows]
    return Corruption(
        looks=looks,
        severity=severity,
        changed=changed,
        labelled=targets >= 0,
        correct=seen["predicted"] == targets[:, None],
        correct_before=int((predicted == targets).sum()),
        examples=_examples(recording, rows, severity, changed, seen["predicted"], seed),
    )


def _severities(
    indices: Sequence[int] | NDArray[np.int64], starts: Sequence[int] | NDArray[np.int64]
) -> NDArray[np.int64]:
    severities: NDArray[np.int64] = (np.asarray(indices)[:, None] + np.asarray(starts)) % len(SEVERITIES) + 1
    return severities


def _corrupted(subject: Subject, indices: Sequence[int], batch_size: int, starts: Sequence[int], draw: int) -> Arrays:
    """The prediction for each image under each corruption, N x 15."""
    pixels, severities = subject.pixels(indices), _severities(indices, starts)
    predicted = []
    for j, name in enumerate(NAMES):
        shown = corrupt_each(pixels, name, severities[:, j].tolist(), [draw + index for index in indices])
        predicted.append(logits_of(subject.classifier, shown, batch_size).argmax(1).cpu().numpy())
    return {"predicted": np.stack(predicted, axis=1)}


def _changed(recording: Recording, looks: Looks) -> NDArray[np.bool_]:
    """Whether each corruption changes the recorded prediction, N x 15."""
    return np.asarray(looks.found["predicted"] != recording.predicted[looks.rows, None])


def _per_image(values: NDArray[np.bool_], severity: NDArray[np.int64], level: int) -> NDArray[np.float64]:
    """The mean of each row's values at one severity, N."""
    at = severity == level
    return np.asarray((values & at).sum(1) / at.sum(1))


def _examples(
    recording: Recording,
    rows: NDArray[np.int64],
    severity: NDArray[np.int64],
    changed: NDArray[np.bool_],
    predicted: NDArray[np.int64],
    seed: int,
) -> tuple[ImageGrid, ...]:
    """For the corruptions that change most predictions: an image unchanged, and the mildest one that changed it."""
    names, grids = recording.subject.classifier.class_names, []
    used: set[int] = set()
    for j in np.argsort(-changed.mean(0), kind="stable")[:EXAMPLES_SHOWN]:
        candidates = [int(i) for i in np.flatnonzero(changed[:, j])]
        if not candidates:
            continue
        i = min(candidates, key=lambda i: (i in used, severity[i, j]))
        used.add(i)
        image, what = recording.subject.pixels([int(rows[i])]), NAMES[j].replace("_", " ")
        level, first = int(severity[i, j]), names[recording.predicted[rows[i]]]
        corrupted = corrupt(image, NAMES[j], level, seed=seed + int(rows[i]))[0]
        named = names[predicted[i, j]]
        before = picture(image[0].cpu().numpy(), f"An image predicted as {first}", int(rows[i]))
        after = picture(corrupted.cpu().numpy(), f"The same image with {what}, predicted as {named}")
        confidence = percent(recording.probabilities[rows[i]].max())
        items = [
            GridItem(picture=before, caption=first, note=f"unchanged, {confidence}"),
            GridItem(picture=after, caption=named, note=f"{what}, severity {level}"),
        ]
        grids.append(ImageGrid(title=f"{first}: unchanged, and with {what}", items=items, strip=True))
    return tuple(grids)
