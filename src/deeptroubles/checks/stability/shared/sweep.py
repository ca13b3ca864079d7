"""One transform over a range of values: what it does to the answers, for the checks that turn and scale images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.engine import Engine
from deeptroubles.findings import Curve, Estimate, Evidence, GridItem, ImageGrid, Series
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.scale import scale
from deeptroubles.methods.transforms.shared.warp import Outside
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

Kind = Literal["rotation", "scale"]
TRANSFORMS: dict[Kind, Callable[[Tensor, float, Outside], Tensor]] = {"rotation": rotate, "scale": scale}
SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Answers to transformed images.

    Attributes:
        values: What the transform was given, V.
        changed: Whether the answer is another one than before, N x V.
        right: Whether the answer is right, over the labelled images, L x V.
        right_before: How many of the labelled images are answered right as they are.
        whatever_border: Images that change for one and the same value with every border.
        examples: The least stable images.
    """

    values: tuple[float, ...]
    changed: NDArray[np.bool_]
    right: NDArray[np.bool_]
    right_before: int
    whatever_border: int
    examples: tuple[ImageGrid, ...]

    @property
    def share(self) -> Interval:
        """Mean over images of the share of values that change the answer."""
        return mean_share(self.changed.mean(1))

    def evidence(
        self, *, label: str, title: str, x_label: str, unchanged: float, warn_at: float, fail_at: float
    ) -> list[Evidence]:
        """The estimate, the examples, and the curve over the values with what leaves the image `unchanged`."""
        value, low, high = self.share
        count, labelled = len(self.changed), len(self.right)
        changed = {v: wilson(int(self.changed[:, i].sum()), count) for i, v in enumerate(self.values)}
        right = {v: wilson(int(self.right[:, i].sum()), labelled) for i, v in enumerate(self.values)}
        series = [_series("another answer", {**changed, unchanged: Interval(0.0, 0.0, 0.0)})]
        if labelled:
            before = wilson(self.right_before, labelled)
            name = f"right answers ({labelled} labelled image{'s' if labelled > 1 else ''})"
            series.append(_series(name, {**right, unchanged: before}))
        return [
            Estimate(label=label, value=value, low=low, high=high, n=count, warn_at=warn_at, fail_at=fail_at),
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


def sweep(
    recording: Recording,
    engine: Engine,
    kind: Kind,
    values: Sequence[float],
    border: Outside,
    words: Callable[[float], str],
) -> Sweep:
    """Transform every image by every value, and ask again. `words` says a value in words."""
    subject, everything = recording.subject, range(len(recording.logits))
    seen = engine.map(
        _transformed, subject, everything, task="Transforming images", kind=kind, values=list(values), border=border
    )
    changed = seen["changed"]
    least_stable = [int(i) for i in np.argsort(-changed.mean(1), kind="stable")[:SHOWN] if changed[i].any()]
    labelled = recording.labelled
    return Sweep(
        values=tuple(values),
        changed=changed,
        right=seen["answer"][labelled] == recording.targets[labelled, None],
        right_before=int((recording.predicted[labelled] == recording.targets[labelled]).sum()),
        whatever_border=int(seen["whatever_border"].sum()),
        examples=tuple(_example(recording, seen, i, kind, values, border, words) for i in least_stable),
    )


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
    subject: Subject, indices: Sequence[int], batch_size: int, kind: Kind, values: Sequence[float], border: Outside
) -> dict[str, NDArray[Any]]:
    """The new answer, whether it changed, and the probability of the first answer, N x V."""
    pixels = subject.pixels(indices)
    first = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    logits = _logits(subject, pixels, kind, values, border, batch_size)
    changed = logits.argmax(2) != first[:, None]
    by_all = changed.clone()
    other: Outside = "black" if border == "mirror" else "mirror"
    for i, value in enumerate(values):
        rows = changed[:, i].nonzero()[:, 0]
        if len(rows):
            again = _logits(subject, pixels[rows], kind, [value], other, batch_size)[:, 0]
            by_all[rows, i] = again.argmax(1) != first[rows]
    chances = logits.softmax(2).gather(2, first[:, None, None].expand(-1, len(values), 1))[..., 0]
    found = {"answer": logits.argmax(2), "changed": changed, "probability": chances, "whatever_border": by_all.any(1)}
    return {name: tensor.cpu().numpy() for name, tensor in found.items()}


def _logits(
    subject: Subject, pixels: Tensor, kind: Kind, values: Sequence[float], border: Outside, batch_size: int
) -> Tensor:
    """N x V x K."""
    moved = (TRANSFORMS[kind](pixels, value, border).clamp(0, 1) for value in values)
    return torch.stack([logits_of(subject.classifier, batch, batch_size) for batch in moved], dim=1)


def _example(
    recording: Recording,
    seen: dict[str, NDArray[Any]],
    row: int,
    kind: Kind,
    values: Sequence[float],
    border: Outside,
    words: Callable[[float], str],
) -> ImageGrid:
    """The image as it is, under the mildest value that changes its answer, and under the worst one."""
    names = recording.subject.classifier.class_names
    image = recording.subject.pixels([row])
    first = names[recording.predicted[row]]
    start = picture(image[0].cpu().numpy(), f"An image answered {first}")
    items = [GridItem(picture=start, caption=first, note=f"as it is, {percent(recording.probabilities[row].max())}")]
    strength = np.abs(np.log(values) if kind == "scale" else values)
    mild = min(np.flatnonzero(seen["changed"][row]).tolist(), key=lambda i: float(strength[i]))
    for i in dict.fromkeys([mild, int(seen["probability"][row].argmin())]):
        answered = names[seen["answer"][row, i]]
        moved = TRANSFORMS[kind](image, values[i], border)[0].clamp(0, 1)
        shown = picture(moved.cpu().numpy(), f"The same image {words(values[i])}, answered {answered}")
        note = f"{words(values[i])}; {first} at {percent(seen['probability'][row, i])}"
        items.append(GridItem(picture=shown, caption=answered, note=note))
    return ImageGrid(title=f"{first}: as it is, and {words(values[mild])}", items=items, strip=True)
