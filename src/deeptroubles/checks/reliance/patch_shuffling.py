"""reliance.patch_shuffling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Curve, Estimate, Evidence, Finding, GridItem, ImageGrid, Series
from deeptroubles.methods.attacks.duplication_gain import duplication_gain
from deeptroubles.methods.transforms.shuffle_patches import shuffle_patches
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share, wilson
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.30, 0.60
GRIDS = (2, 4, 8)
JUDGED = 4
"""The verdict rests on this grid: patches of a quarter of the image still show parts, and never the whole."""
ORDERS = 3
"""In so many orders each image is shown, grid by grid."""
GAIN = 0.1
"""By how much the probability must rise for a duplicate to count."""
DUPLICATED = 60
"""In no more images than this a part is duplicated."""
SHOWN = 3
TEXTURE = (
    "Classes that differ in texture or colour need no arrangement: then this is no trouble. Many good networks of "
    "ImageNet classes work nearly like this."
)


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """What is left of the right answers when patches are shuffled, grid by grid.

    Attributes:
        right: Whether the answer is still right, images x grids x orders; only images that are answered right.
        chance: Share of right answers, grid by grid, if the answers to shuffled images had nothing to do with them.
    """

    right: NDArray[np.bool_]
    chance: NDArray[np.float64]

    def survived(self, grid: int) -> Interval:
        """The share that is still right. The interval is over images."""
        return mean_share(self.right[:, GRIDS.index(grid)].mean(1))

    def beyond_chance(self, grid: int) -> Interval:
        """The same, such that chance is 0; it cannot be told where chance alone is always right."""
        chance = float(self.chance[GRIDS.index(grid)])
        if not len(self.right) or chance >= 1:
            return Interval(0.0, 0.0, 1.0)
        return Interval(*((max(0.0, float(share) - chance) / (1 - chance)) for share in self.survived(grid)))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What becomes of right answers when parts are rearranged or repeated.

    Attributes:
        whole: Patches of the whole image are shuffled.
        inside: Patches of the object's bounding box are shuffled, where masks are given.
        gains: By how much the best duplicate of the most important part raises the true class, beyond what hiding the
            same place does; one per image.
        examples: Shuffled images that are still answered right, and duplicates that raise the class most.
    """

    whole: Shuffled
    inside: Shuffled | None
    gains: NDArray[np.float64]
    examples: tuple[ImageGrid, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, beyond, survived = len(self.whole.right), self.whole.beyond_chance(JUDGED), self.whole.survived(JUDGED)
        more = wilson(int((self.gains >= GAIN).sum()), len(self.gains))
        chance = percent(self.whole.chance[GRIDS.index(JUDGED)])
        claim = "It answers none of the images right, so that shuffling can take nothing away."
        if count:
            claim = (
                f"Cut into {JUDGED} x {JUDGED} patches and shuffled, images that it answers right are still answered "
                f"right in {percent_interval(survived)} of the cases (chance: {chance}). "
                f"A second copy of the most important part makes it surer, by {percent(GAIN)} or more, on "
                f"{percent_interval(more)} of the images."
            )
        yield Finding(
            check="reliance.patch_shuffling",
            verdict=judge(beyond, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=beyond.value,
            claim=claim,
            criterion=criterion(
                f"the share of right answers that survive shuffling {JUDGED} x {JUDGED} patches, with chance as 0 and "
                "all as 100 %,",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            + " The thresholds are our convention; duplicates are not judged.",
            evidence=self._evidence(beyond, more) if count else [],
            caveats=[
                *few(count),
                TEXTURE,
                "Shuffling makes edges that no photograph has; answers can be lost to them instead of to the order.",
                f"A duplicate is looked for in {len(self.gains)} images; what hiding the same place does is taken off.",
            ],
        )

    def _evidence(self, beyond: Interval, more: Interval) -> list[Evidence]:
        count = len(self.whole.right)
        series = [_series("whole image shuffled", self.whole)]
        if self.inside:
            series.append(_series("object alone shuffled", self.inside))
        chance = Series(name="chance", x=[float(grid) for grid in GRIDS], y=self.whole.chance.tolist(), reference=True)
        return [
            Estimate(
                label=f"Right answers that survive {JUDGED} x {JUDGED} shuffling, chance as 0",
                value=beyond.value,
                low=beyond.low,
                high=beyond.high,
                n=count,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            Estimate(
                label="Images that a second copy of a part makes surer",
                value=more.value,
                low=more.low,
                high=more.high,
                n=len(self.gains),
            ),
            *self.examples,
            Curve(
                title="Right answers that survive, by how finely images are cut",
                x_label="rows and columns of patches, 1 as it is",
                y_label="share of right answers",
                series=[*series, chance],
                y_range=(0.0, 1.0),
                x_scale="log",
            ),
        ]


@check("reliance.patch_shuffling", needs=[LABELS])
def patch_shuffling(recording: Recording, engine: Engine, *, seed: int) -> Parts:
    """Does it care how the parts of a thing are put together?

    What it asks:
        Images that are answered right are cut into 2 x 2, 4 x 4 and 8 x 8 patches and shuffled so that no patch stays
        in place. How many are still answered right? And does a second copy of the part that counts most, pasted
        elsewhere, make it surer of the class?

    Why it matters:
        A face with the mouth above the eyes is no face, and one with four eyes is no better face. A network that counts
        parts without asking how they are put together takes a heap of parts for the thing.

    How to read it:
        The first estimate is the share of right answers that survive 4 x 4 shuffling, such that answers that have
        nothing to do with the image would be 0 and no loss would be 100 %; the interval is over images, each shown in
        three orders. The curve shows plain shares for every grid, and for the object's box alone where masks are given.
        The second estimate counts duplicates whose gain is more than what hiding the same place gives.

    Limits:
        Where classes differ in texture, surviving is as it should be. Patches show parts as large as they are: small
        objects can stay whole in one of them. Networks fall for the edges between patches, so that passing does not
        show that arrangement is understood, only that the answer does not survive without it.

    References:
        W. Brendel, M. Bethge, Approximating CNNs with bag-of-local-features models works surprisingly well on ImageNet,
        ICLR 2019.

        R. Geirhos et al., ImageNet-trained CNNs are biased towards texture, ICLR 2019.

        Y. Zhang, T. Zhu, Interpreting adversarially trained convolutional neural networks, ICML 2019.
    """
    right = np.flatnonzero((recording.targets >= 0) & (recording.predicted == recording.targets))
    whole = _shuffled(recording, engine, right, seed, masked=False)
    masked = np.intersect1d(right, recording.masked)
    inside = _shuffled(recording, engine, masked, seed, masked=True) if len(masked) else None
    some = right[np.unique(np.linspace(0, len(right) - 1, min(len(right), DUPLICATED)).astype(np.int64))]
    found = engine.map(_duplicate, recording.subject, some, task="Duplicating parts", chunk=4)
    gains = (found["probability"][:, 1] - found["without"]).astype(np.float64) if len(some) else np.zeros(0)
    examples = [_shuffled_example(recording, int(right[i]), seed) for i in _survivors(whole, recording.targets[right])]
    if len(some) and gains.max() >= GAIN:
        examples.append(_duplicated_example(recording, int(some[gains.argmax()]), found, int(gains.argmax())))
    return Parts(whole=whole, inside=inside, gains=gains, examples=tuple(examples))


def _shuffled(recording: Recording, engine: Engine, rows: NDArray[np.int64], seed: int, *, masked: bool) -> Shuffled:
    if not len(rows):
        return Shuffled(right=np.zeros((0, len(GRIDS), ORDERS), dtype=np.bool_), chance=np.zeros(len(GRIDS)))
    label = "Shuffling objects" if masked else "Shuffling patches"
    answers = engine.map(_shuffle, recording.subject, rows, task=label, chunk=32, seed=seed, masked=masked)["answer"]
    targets, classes = recording.targets[rows], recording.subject.classifier.classes
    share = np.bincount(targets, minlength=classes) / len(rows)
    chance = [
        share @ np.bincount(answers[:, i].ravel(), minlength=classes) / answers[:, i].size for i in range(len(GRIDS))
    ]
    return Shuffled(right=answers == targets[:, None, None], chance=np.array(chance))


def _shuffle(
    subject: Subject,
    indices: Sequence[int],
    batch_size: int,
    seed: int,
    masked: bool,  # noqa: FBT001 (for engine.map)
) -> dict[str, NDArray[Any]]:
    """The answers to shuffled images, N x grids x orders; an image's orders depend on its index alone."""
    pixels = subject.pixels(indices)
    boxes = _boxes(subject.masks(indices)) if masked else None
    shown = torch.stack(
        [_shown(pixels, indices, grid, order, seed, boxes) for grid in GRIDS for order in range(ORDERS)]
    )
    answers = torch.stack([logits_of(subject.classifier, batch, batch_size).argmax(1) for batch in shown], dim=1)
    return {"answer": answers.view(len(indices), len(GRIDS), ORDERS).cpu().numpy()}


def _shown(
    pixels: Tensor, indices: Sequence[int], grid: int, order: int, seed: int, boxes: Tensor | None = None
) -> Tensor:
    """Images in one of their orders."""
    parts = (
        shuffle_patches(
            pixels[i : i + 1],
            grid,
            int(np.random.SeedSequence([seed, index, order]).generate_state(1)[0]),
            None if boxes is None else boxes[i : i + 1],
        )
        for i, index in enumerate(indices)
    )
    return torch.cat(list(parts))


def _boxes(masks: Tensor) -> Tensor:
    """The bounding box of each mask (N x H x W, not empty), N x 4."""
    corners = []
    for mask in masks:
        inside = mask.nonzero()
        corners.append(torch.cat([inside.amin(0), inside.amax(0) + 1]))
    return torch.stack(corners)


def _duplicate(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    """What the best duplicate of the most important part does to the true class.

    `probability` is N x 2 (as it is, with the duplicate), `without` N (the higher of it as it is and with the
    duplicate's place hidden), `source` and `destination` N x 4, `image` with the duplicate.
    """
    targets = torch.from_numpy(subject.targets[indices]).to(subject.classifier.device)
    gain = duplication_gain(
        subject.classifier, subject.pixels(indices), targets, steps=1, sources=1, batch_size=batch_size
    )
    found = {
        "probability": gain.probability,
        "without": torch.maximum(gain.probability[:, 0], gain.covered[:, 0]),
        "source": gain.sources[:, 0],
        "destination": gain.destinations[:, 0],
        "image": gain.images,
    }
    return {name: value.cpu().numpy() for name, value in found.items()}


def _survivors(whole: Shuffled, targets: NDArray[np.int64]) -> list[int]:
    """Of some classes the image that survives the judged grid in the most orders."""
    kept = whole.right[:, GRIDS.index(JUDGED)].sum(1)
    order = [int(i) for i in np.argsort(-kept, kind="stable") if kept[i]]
    first = {int(targets[i]): i for i in reversed(order)}
    return [i for i in order if first[int(targets[i])] == i][:SHOWN]


def _shuffled_example(recording: Recording, row: int, seed: int) -> ImageGrid:
    """One image as it is and cut ever finer, with what it is answered."""
    subject = recording.subject
    names, pixels = subject.classifier.class_names, subject.pixels([row])
    name = names[recording.targets[row]]
    shown = torch.cat([pixels, *(_shown(pixels, [row], grid, 0, seed) for grid in GRIDS)])
    chances = logits_of(subject.classifier, shown).softmax(1).cpu().numpy()
    notes = ("as it is", *(f"{grid} x {grid}" for grid in GRIDS))
    items = [
        GridItem(
            picture=picture(image.cpu().numpy(), f"An image of class {name}, {note}"),
            caption=names[int(chance.argmax())],
            note=f"{note}; {name} at {percent(chance[recording.targets[row]])}",
        )
        for image, note, chance in zip(shown, notes, chances, strict=True)
    ]
    return ImageGrid(title=f"{name}: as it is, and shuffled ever finer", items=items, strip=True)


def _duplicated_example(recording: Recording, row: int, found: dict[str, NDArray[Any]], at: int) -> ImageGrid:
    """The image that gains most: as it is, and with the second copy."""
    name = recording.subject.classifier.class_names[recording.targets[row]]
    before, after = found["probability"][at]
    (top, left, *_), (to_top, to_left, *_) = found["source"][at], found["destination"][at]
    note = f"copied from row {top}, column {left} to row {to_top}, column {to_left}"
    pixels = recording.subject.pixels([row])[0].cpu().numpy()
    items = [
        GridItem(picture=picture(pixels, f"An image of class {name}"), caption=percent(before), note="as it is"),
        GridItem(
            picture=picture(found["image"][at], "The same image with a part copied"), caption=percent(after), note=note
        ),
    ]
    return ImageGrid(
        title=f"{name}: its probability, and with a second copy of the part that counts most", items=items, strip=True
    )


def _series(name: str, shuffled: Shuffled) -> Series:
    survived = [Interval(1.0, 1.0, 1.0), *(shuffled.survived(grid) for grid in GRIDS)]
    return Series(
        name=name,
        x=[1.0, *map(float, GRIDS)],
        y=[i.value for i in survived],
        low=[i.low for i in survived],
        high=[i.high for i in survived],
    )
