"""Suppression, the second protocol of `reliance.texture`: the audited images without shape, texture or color."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits
from deeptroubles.checks.wording import percent, percent_interval, plural, points
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Curve, Evidence, GridItem, ImageGrid, Series, Table
from deeptroubles.methods.reliance.suppression import KINDS, MIN_PATCH, kinds_for, strengths, suppress
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

LIMITS = Limits(
    "the share of predictions that change without texture, minus the share that change without shape,",
    warn_at=0.0,
    fail_at=0.20,
    note="The thresholds and the strengths of suppression are conventions.",
    show=points,
)
MAX_IMAGES, FEWEST = 100, 50
"""Images that are changed, and how many at least whatever the budget."""


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Predictions when shape, texture or color is suppressed.

    Attributes:
        kinds: The kinds of suppression, in the order of KINDS.
        changed: N x kinds x strengths, whether the prediction changes.
        right: M x kinds x strengths, whether the prediction is correct, for images that are correct unchanged.
        left_out: Images that were not used.
        examples: One image with every kind of suppression.
    """

    kinds: tuple[str, ...]
    changed: NDArray[np.bool_]
    right: NDArray[np.bool_]
    left_out: int
    examples: tuple[ImageGrid, ...]

    def _of(self, what: str) -> list[int]:
        return [i for i, kind in enumerate(self.kinds) if KINDS[kind] == what]

    def without(self, what: str) -> NDArray[np.float64]:
        """For each image, the share of its predictions that change without `what` (a value of KINDS)."""
        return np.asarray(self.changed[:, self._of(what)].mean((1, 2)), dtype=np.float64)

    @property
    def excess(self) -> Interval:
        """How many more predictions change without texture than without shape."""
        return mean_difference(self.without("texture") - self.without("shape"))

    def claim(self) -> str:
        """How many predictions change, as a clause."""
        texture, shape = (percent_interval(mean_share(self.without(what))) for what in ("texture", "shape"))
        return f"{texture} of predictions change without texture and {shape} without shape"

    def caveats(self) -> list[str]:
        """What limits the result."""
        convention = (
            "The pairing of blur strengths with patch grids is a convention, and so is the comparison of texture with "
            "shape. Blurs also remove fine edges; patches keep the shape of small parts."
        )
        return [convention, *([f"{plural(self.left_out, 'image')} not used."] if self.left_out else [])]

    def evidence(self) -> list[Evidence]:
        """The comparison, an example, and the results by strength and kind."""
        label = "Predictions that change without texture, minus those that change without shape"
        return [LIMITS.estimate(label, self.excess, len(self.changed)), *self.examples, self._curve(), self._table()]

    def _curve(self) -> Curve:
        series = []
        for what in dict.fromkeys(KINDS[kind] for kind in self.kinds):
            kept = ~self.changed[:, self._of(what)]
            points = [Interval(1.0, 1.0, 1.0), *(mean_share(kept[:, :, s].mean(1)) for s in range(kept.shape[2]))]
            series.append(
                Series(
                    name=f"without {what}",
                    x=[float(s) for s in range(len(points))],
                    y=[p.value for p in points],
                    low=[p.low for p in points],
                    high=[p.high for p in points],
                )
            )
        return Curve(
            title="Predictions that do not change",
            x_label="strength (0: unchanged)",
            y_label="share of predictions",
            series=series,
            y_range=(0.0, 1.0),
        )

    def _table(self) -> Table:
        labelled = len(self.right) > 0
        strongest = self.changed.shape[2]
        columns = [
            Column(name="suppression"),
            Column(name="removes"),
            Column(name="unchanged predictions", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name=f"at strength {strongest}", kind="share"),
        ]
        if labelled:
            columns += [
                Column(name="correct predictions that stay correct", kind="share"),
                Column(name="95% CI", kind="interval"),
            ]
        rows: list[list[Cell]] = []
        for i, kind in enumerate(self.kinds):
            kept = mean_share((~self.changed[:, i]).mean(1))
            row: list[Cell] = [
                kind,
                KINDS[kind],
                kept.value,
                [kept.low, kept.high],
                wilson(int((~self.changed[:, i, -1]).sum()), len(self.changed)).value,
            ]
            if labelled:
                right = mean_share(self.right[:, i].mean(1))
                row += [right.value, [right.low, right.high]]
            rows.append(row)
        return Table(
            title="Predictions without shape, texture or color, over all strengths", columns=columns, rows=rows
        )


def ask_suppression(recording: Recording, engine: Engine, seed: int) -> Suppression | str:
    """Suppress shape, texture and color of some of the images; or say why that is not possible."""
    classifier = recording.subject.classifier
    levels = strengths(classifier.size)
    if classifier.channels not in {1, 3} or not levels:
        return f"suppression needs inputs with 1 or 3 channels and at least {2 * MIN_PATCH} pixels along each side"
    kinds = kinds_for(classifier.channels)
    rows = recording.sample(recording.affordable(MAX_IMAGES, 2 * len(kinds) * levels, FEWEST))
    seen = engine.map(
        _suppressed,
        recording.subject,
        rows,
        task="Suppressing shape and texture",
        chunk=16,
        kinds=list(kinds),
        levels=levels,
        seed=seed,
    )["predicted"]
    targets, predicted = recording.targets[rows], recording.predicted[rows]
    right_before = targets == predicted
    return Suppression(
        kinds=kinds,
        changed=seen != predicted[:, None, None],
        right=(seen == targets[:, None, None])[right_before],
        left_out=len(recording.logits) - len(rows),
        examples=_examples(recording, rows, kinds, levels, seen, seed),
    )


def _suppressed(
    subject: Subject, indices: Sequence[int], batch_size: int, kinds: Sequence[str], levels: int, seed: int
) -> Arrays:
    """The predictions, N x kinds x strengths."""
    pixels = subject.pixels(indices)
    predicted = np.zeros((len(indices), len(kinds), levels), dtype=np.int64)
    for k, kind in enumerate(kinds):
        for level in range(levels):
            shown = pixels.clone()
            for i, index in enumerate(indices):  # one by one, so that the seed is the image's own
                shown[i] = suppress(pixels[i : i + 1], kind, level + 1, seed + index)[0]
            predicted[:, k, level] = logits_of(subject.classifier, shown, batch_size).argmax(1).cpu().numpy()
    return {"predicted": predicted}


def _examples(
    recording: Recording,
    rows: NDArray[np.int64],
    kinds: Sequence[str],
    levels: int,
    predicted: NDArray[np.int64],
    seed: int,
) -> tuple[ImageGrid, ...]:
    """The most confident image, unchanged and with every kind of suppression at the middle strength."""
    names, level = recording.subject.classifier.class_names, (levels + 1) // 2
    i = int(recording.probabilities[rows].max(1).argmax())
    row = int(rows[i])
    pixels, first = recording.subject.pixels([row]), names[recording.predicted[row]]
    items = [
        GridItem(
            picture=picture(pixels[0].cpu().numpy(), f"An image predicted as {first}", row),
            caption=first,
            note=f"unchanged, {percent(recording.probabilities[row].max())}",
        )
    ]
    for k, kind in enumerate(kinds):
        shown, named = suppress(pixels, kind, level, seed + row)[0], names[predicted[i, k, level - 1]]
        items.append(
            GridItem(
                picture=picture(shown.cpu().numpy(), f"The same image after {kind}, predicted as {named}"),
                caption=named,
                note=f"{kind}, without {KINDS[kind]}",
            )
        )
    return (ImageGrid(title=f"One image without shape, texture or color (strength {level} of {levels})", items=items),)
