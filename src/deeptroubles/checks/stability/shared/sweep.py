"""One transform over a range of values, and how often the prediction changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import Limits
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.wording import percent, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Curve, Evidence, GridItem, ImageGrid, Series
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

EXAMPLES_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a sweep tries.

    Attributes:
        transform: A function of a module: `transform(images, value, **settings)` gives images.
        values: The values, V.
        unchanged: The value that leaves images as they are; 1 for factors, and then the axis is logarithmic.
        in_words: A value in words, after "the same image": "rotated 5 degrees clockwise".
        settings: Further arguments of the transform, plain values.
        control: Other settings with which a change must also occur to count in `in_both`; None: there are none.
    """

    transform: Callable[..., Tensor]
    values: tuple[float, ...]
    unchanged: float
    in_words: Callable[[float], str]
    settings: Mapping[str, Any]
    control: Mapping[str, Any] | None = None

    def strength(self, value: float) -> float:
        """How far a value is from the one that changes nothing."""
        return abs(float(np.log(value)) if self.unchanged == 1 else value - self.unchanged)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Predictions for transformed images.

    Attributes:
        range: What was tried.
        looks: The images that were looked at, N.
        changed: Whether the prediction changes, N x V.
        correct: Whether the prediction is correct, for the labelled images, L x V.
        correct_before: How many of the labelled images are classified correctly unchanged.
        in_both: On how many images the prediction changes for the same value with the control settings too.
        examples: The least stable images.
    """

    range: Range
    looks: Looks
    changed: NDArray[np.bool_]
    correct: NDArray[np.bool_]
    correct_before: int
    in_both: int
    examples: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """Mean over images of the share of values that change the prediction."""
        return self.looks.mean_share(self.changed.mean(1))

    @property
    def ever(self) -> int:
        """On how many images the prediction changes for at least one value."""
        return int(self.changed.any(1).sum())

    def evidence(self, limits: Limits, *, label: str, title: str, x_label: str) -> list[Evidence]:
        """The estimate, the examples, and the curve over the values."""
        count, labelled, values, unchanged = (
            len(self.changed),
            len(self.correct),
            self.range.values,
            self.range.unchanged,
        )
        changed = {v: wilson(int(self.changed[:, i].sum()), count) for i, v in enumerate(values)}
        series = [_series("changed predictions", {**changed, unchanged: Interval(0.0, 0.0, 0.0)})]
        if labelled:
            correct = {v: wilson(int(self.correct[:, i].sum()), labelled) for i, v in enumerate(values)}
            before = wilson(self.correct_before, labelled)
            name = f"correct predictions ({plural(labelled, 'labelled image')})"
            series.append(_series(name, {**correct, unchanged: before}))
        return [
            limits.estimate(label, self.share, count),
            *self.examples,
            Curve(
                title=title,
                x_label=x_label,
                y_label="share of images",
                series=series,
                y_range=(0.0, 1.0),
                x_scale="log" if unchanged == 1 else "linear",
            ),
        ]


def sweep(recording: Recording, engine: Engine, over: Range, limits: Limits, seed: int) -> Sweep:
    """Transform images by every value, and predict again."""
    looks = look(
        recording,
        engine,
        _transformed,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(looks.found["changed"].mean(1)),
        limits=limits,
        views=len(over.values) * (1 if over.control is None else 2),
        task="Transforming images",
        seed=seed,
        transform=f"{over.transform.__module__}:{over.transform.__qualname__}",
        values=list(over.values),
        settings=dict(over.settings),
        control=None if over.control is None else dict(over.control),
    )
    seen, rows = looks.found, looks.rows
    changed, targets, predicted = seen["changed"], recording.targets[rows], recording.predicted[rows]
    order = np.argsort(-changed.mean(1), kind="stable")[:EXAMPLES_SHOWN]
    return Sweep(
        range=over,
        looks=looks,
        changed=changed,
        correct=(seen["predicted"] == targets[:, None])[targets >= 0],
        correct_before=int((predicted == targets)[targets >= 0].sum()),
        in_both=int(seen["in_both"].sum()),
        examples=tuple(_example(recording, seen, int(i), int(rows[i]), over) for i in order if changed[i].any()),
    )


def example(recording: Recording, row: int, changes: Sequence[tuple[Tensor, int, float, str]], title: str) -> ImageGrid:
    """An image unchanged, and after each change: (pixels, prediction, probability of the first prediction, words)."""
    names = recording.subject.classifier.class_names
    first = names[recording.predicted[row]]
    start = picture(recording.subject.pixels([row])[0].cpu().numpy(), f"An image predicted as {first}", row)
    items = [GridItem(picture=start, caption=first, note=f"unchanged, {percent(recording.probabilities[row].max())}")]
    for pixels, predicted, probability, words in changes:
        shown = picture(pixels.cpu().numpy(), f"The same image {words}, predicted as {names[predicted]}")
        items.append(
            GridItem(picture=shown, caption=names[predicted], note=f"{words}; {first} at {percent(probability)}")
        )
    return ImageGrid(title=f"{first}: unchanged, and {title}", items=items, strip=True)


def _example(recording: Recording, seen: Arrays, at: int, row: int, over: Range) -> ImageGrid:
    """The image under the mildest value that changes its prediction, and under the worst one."""
    mild = min(np.flatnonzero(seen["changed"][at]).tolist(), key=lambda i: over.strength(over.values[i]))
    image, changes = recording.subject.pixels([row]), []
    for i in dict.fromkeys([mild, int(seen["probability"][at].argmin())]):
        pixels = over.transform(image, over.values[i], **over.settings)[0].clamp(0, 1)
        found = int(seen["predicted"][at, i]), float(seen["probability"][at, i])
        changes.append((pixels, *found, over.in_words(over.values[i])))
    return example(recording, row, changes, over.in_words(over.values[mild]))


def _series(name: str, points: dict[float, Interval]) -> Series:
    ordered = sorted(points.items())
    return Series(
        name=name,
        x=[x for x, _ in ordered],
        y=[i.value for _, i in ordered],
        low=[i.low for _, i in ordered],
        high=[i.high for _, i in ordered],
    )


def _transformed(
    subject: Subject,
    indices: Sequence[int],
    batch_size: int,
    transform: str,
    values: Sequence[float],
    settings: dict[str, Any],
    control: dict[str, Any] | None,
) -> Arrays:
    """The new prediction, whether it changed, and the probability of the first prediction, N x V."""
    pixels, apply = subject.pixels(indices), resolve_name(transform)
    first = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    logits = _logits(subject, apply, pixels, values, settings, batch_size)
    changed = logits.argmax(2) != first[:, None]
    in_both = changed.clone()
    for i, value in enumerate(values if control is not None else ()):
        rows = changed[:, i].nonzero()[:, 0]
        if len(rows):
            again = _logits(subject, apply, pixels[rows], [value], control or {}, batch_size)[:, 0]
            in_both[rows, i] = again.argmax(1) != first[rows]
    probability = logits.softmax(2).gather(2, first[:, None, None].expand(-1, len(values), 1))[..., 0]
    found = {"predicted": logits.argmax(2), "changed": changed, "probability": probability, "in_both": in_both.any(1)}
    return {name: tensor.cpu().numpy() for name, tensor in found.items()}


def _logits(
    subject: Subject,
    transform: Callable[..., Tensor],
    pixels: Tensor,
    values: Sequence[float],
    settings: dict[str, Any],
    batch_size: int,
) -> Tensor:
    """N x V x K."""
    batches = (transform(pixels, value, **settings).clamp(0, 1) for value in values)
    return torch.stack([logits_of(subject.classifier, batch, batch_size) for batch in batches], dim=1)
