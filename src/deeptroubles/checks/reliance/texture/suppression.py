"""The second protocol of `reliance.texture`: the audited images without shape, without texture, without colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Curve, Estimate, Evidence, GridItem, ImageGrid, Series, Table
from deeptroubles.methods.reliance.suppression import KINDS, SMALLEST_PATCH, kinds_for, strengths, suppress
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.0, 0.20
"""How much more of the answers change without texture than without shape."""
MOST = 100
"""No more images than this are shown without their shape, texture or colour."""


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """What is answered when shape, texture or colour are taken away.

    Attributes:
        kinds: In which ways, in the order of KINDS.
        changed: N x ways x strengths, whether the answer is another one than before.
        right: Likewise, whether it is right, of the images that were answered rightly before (M).
        left_out: Images that were not looked at.
        examples: One image in every way.
    """

    kinds: tuple[str, ...]
    changed: NDArray[np.bool_]
    right: NDArray[np.bool_]
    left_out: int
    examples: tuple[ImageGrid, ...]

    def _of(self, what: str) -> list[int]:
        return [i for i, kind in enumerate(self.kinds) if KINDS[kind] == what]

    def without(self, what: str) -> NDArray[np.float64]:
        """Per image the share of its answers that change without `what` (a value of KINDS)."""
        return np.asarray(self.changed[:, self._of(what)].mean((1, 2)), dtype=np.float64)

    @property
    def excess(self) -> Interval:
        """How much more of the answers change without texture than without shape."""
        return mean_difference(self.without("texture") - self.without("shape"))

    def claim(self) -> str:
        """One sentence."""
        texture, shape = (percent_interval(mean_share(self.without(what))) for what in ("texture", "shape"))
        return f"Without texture {texture} of the answers change, without shape {shape}."

    def caveats(self) -> list[str]:
        """What to know about it."""
        convention = (
            "Which strength of a blur corresponds to which grid of patches is a convention, and so the comparison of "
            "texture with shape is. Blurs also take away fine edges; patches leave the shape of small parts."
        )
        return [convention, *([f"{self.left_out} images were left out of it."] if self.left_out else [])]

    def evidence(self) -> list[Evidence]:
        """The comparison, what it looks like, and how it grows."""
        value, low, high = self.excess
        return [
            Estimate(
                label="Answers that change without texture, less those without shape",
                value=value,
                low=low,
                high=high,
                n=len(self.changed),
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.examples,
            self._curve(),
            self._table(),
        ]

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
            title="Answers that stay",
            x_label="strength (0: as it is)",
            y_label="share of answers",
            series=series,
            y_range=(0.0, 1.0),
        )

    def _table(self) -> Table:
        labelled = len(self.right) > 0
        strongest = self.changed.shape[2]
        columns = [
            Column(name="way"),
            Column(name="takes away"),
            Column(name="answers that stay", kind="share"),
            Column(name="95 % interval", kind="interval"),
            Column(name=f"at strength {strongest}", kind="share"),
        ]
        if labelled:
            columns += [
                Column(name="right answers that stay right", kind="share"),
                Column(name="their interval", kind="interval"),
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
        return Table(title="Answers without shape, texture or colour, over all strengths", columns=columns, rows=rows)


def ask_suppression(recording: Recording, engine: Engine, seed: int) -> Suppression | str:
    """Show some of the images without their shape, texture or colour; or say why that is not possible."""
    classifier = recording.subject.classifier
    levels = strengths(classifier.size)
    if classifier.channels not in {1, 3} or not levels:
        return f"suppression takes images of 1 or 3 channels and at least {2 * SMALLEST_PATCH} pixels along each side"
    rows, kinds = recording.sample(MOST), kinds_for(classifier.channels)
    seen = engine.map(
        _suppressed,
        recording.subject,
        rows,
        task="Without shape, without texture",
        chunk=16,
        kinds=list(kinds),
        levels=levels,
        seed=seed,
    )["answer"]
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
) -> dict[str, NDArray[Any]]:
    """The answers, N x ways x strengths."""
    pixels = subject.pixels(indices)
    answers = np.zeros((len(indices), len(kinds), levels), dtype=np.int64)
    for k, kind in enumerate(kinds):
        for level in range(levels):
            shown = pixels.clone()
            for i, index in enumerate(indices):  # one by one, so that the seed is the image's own
                shown[i] = suppress(pixels[i : i + 1], kind, level + 1, seed + index)[0]
            answers[:, k, level] = logits_of(subject.classifier, shown, batch_size).argmax(1).cpu().numpy()
    return {"answer": answers}


def _examples(
    recording: Recording,
    rows: NDArray[np.int64],
    kinds: Sequence[str],
    levels: int,
    answers: NDArray[np.int64],
    seed: int,
) -> tuple[ImageGrid, ...]:
    """The surest image as it is, and in every way in the middle strength."""
    names, level = recording.subject.classifier.class_names, (levels + 1) // 2
    i = int(recording.probabilities[rows].max(1).argmax())
    row = int(rows[i])
    pixels, first = recording.subject.pixels([row]), names[recording.predicted[row]]
    items = [
        GridItem(
            picture=picture(pixels[0].cpu().numpy(), f"An image answered {first}"),
            caption=first,
            note=f"as it is, {percent(recording.probabilities[row].max())}",
        )
    ]
    for k, kind in enumerate(kinds):
        shown, answered = suppress(pixels, kind, level, seed + row)[0], names[answers[i, k, level - 1]]
        items.append(
            GridItem(
                picture=picture(shown.cpu().numpy(), f"The same after {kind}, answered {answered}"),
                caption=answered,
                note=f"{kind}, without {KINDS[kind]}",
            )
        )
    return (ImageGrid(title=f"One image without shape, texture or colour (strength {level} of {levels})", items=items),)
