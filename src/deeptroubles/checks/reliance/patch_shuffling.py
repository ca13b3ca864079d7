"""reliance.patch_shuffling: does the prediction depend on the spatial arrangement of parts?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import Limits, estimate, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural, points
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Curve, Evidence, Finding, GridItem, ImageGrid, Series
from deeptroubles.methods.attacks.duplication_gain import duplication_gain
from deeptroubles.methods.transforms.shuffle_patches import shuffle_patches
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

GRIDS = (2, 4, 8)
JUDGED = 4
"""The grid of the verdict: patches of a quarter of the image's side still show parts, and never the whole."""
LIMITS = Limits(
    f"the share of correct predictions that survive shuffling {JUDGED} x {JUDGED} patches (0: chance, 100%: all)",
    warn_at=0.30,
    fail_at=0.60,
    note="Duplicates are not judged. The thresholds are conventions.",
)
ORDERS = 3
"""Orders in which each image is shuffled, for each grid."""
GAIN = 0.1
"""How much the probability must rise for a duplicate to count."""
MAX_DUPLICATED = 60
"""Images in which a part is duplicated."""
EXAMPLES_SHOWN = 3
TEXTURE = (
    "If classes differ in texture or color, arrangement does not matter and this is not a problem. Many good ImageNet "
    "networks behave almost like this."
)


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """How many correct predictions survive shuffling, grid by grid.

    Attributes:
        looks: The images that were looked at.
        correct: Whether the prediction is still correct, images x grids x orders; only for images predicted correctly.
        chance: For each grid, the accuracy if predictions for shuffled images were independent of them.
    """

    looks: Looks
    correct: NDArray[np.bool_]
    chance: NDArray[np.float64]

    def survived(self, grid: int) -> Interval:
        """The share that is still correct. The interval is over images."""
        return self.looks.mean_share(self.correct[:, GRIDS.index(grid)].mean(1))

    def beyond_chance(self, grid: int) -> Interval:
        """The same, rescaled so that chance is 0; unknown where chance alone is always correct."""
        chance = float(self.chance[GRIDS.index(grid)])
        if not len(self.correct) or chance >= 1:
            return Interval(0.0, 0.0, 1.0)
        return Interval(*((max(0.0, float(share) - chance) / (1 - chance)) for share in self.survived(grid)))


@dataclass(frozen=True, kw_only=True)
class PatchShuffling:
    """What happens to correct predictions when parts are rearranged or duplicated.

    Attributes:
        whole: Patches of the whole image are shuffled.
        inside: Patches of the object's bounding box are shuffled, where masks are given.
        gains: How much the best duplicate of the most important part raises the true class, beyond hiding the same
            place; one per image.
        examples: Shuffled images that are still predicted correctly, and duplicates that raise the class most.
    """

    whole: Shuffled
    inside: Shuffled | None
    gains: NDArray[np.float64]
    examples: tuple[ImageGrid, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, beyond, survived = len(self.whole.correct), self.whole.beyond_chance(JUDGED), self.whole.survived(JUDGED)
        more = wilson(int((self.gains >= GAIN).sum()), len(self.gains))
        chance = percent(self.whole.chance[GRIDS.index(JUDGED)])
        claim = "Inconclusive: 0 images are predicted correctly, so shuffling cannot change anything."
        if count:
            claim = (
                f"{percent_interval(survived)} of correct predictions survive shuffling {JUDGED} x {JUDGED} patches "
                f"(chance: {chance}); a second copy of the most important part raises the probability by "
                f"{points(GAIN)} or more on {percent_interval(more)} of images."
            )
        yield Finding(
            check="reliance.patch_shuffling",
            verdict=self.whole.looks.verdict(LIMITS, beyond),
            severity=beyond.value,
            claim=claim,
            criterion=LIMITS.criterion,
            evidence=self._evidence(beyond, more) if count else [],
            caveats=[
                *few(count),
                *self.whole.looks.caveats,
                TEXTURE,
                "Shuffling creates artificial edges; predictions can change because of them instead of the order.",
                (
                    f"Duplicates were tried in {plural(len(self.gains), 'image')}; the effect of hiding the same "
                    "place is subtracted."
                ),
            ],
        )

    def _evidence(self, beyond: Interval, more: Interval) -> list[Evidence]:
        count = len(self.whole.correct)
        series = [_series("whole image shuffled", self.whole)]
        if self.inside:
            series.append(_series("object only shuffled", self.inside))
        chance = Series(name="chance", x=[float(grid) for grid in GRIDS], y=self.whole.chance.tolist(), reference=True)
        return [
            LIMITS.estimate(
                f"Correct predictions that survive {JUDGED} x {JUDGED} shuffling (0: chance)", beyond, count
            ),
            estimate("Images on which a second copy of a part raises the probability", more, len(self.gains)),
            *self.examples,
            Curve(
                title="Correct predictions that survive, by number of patches",
                x_label="rows and columns of patches (1: unchanged)",
                y_label="share of correct predictions",
                series=[*series, chance],
                y_range=(0.0, 1.0),
                x_scale="log",
            ),
        ]


@check("reliance.patch_shuffling", needs=[LABELS])
def patch_shuffling(recording: Recording, engine: Engine, *, seed: int) -> PatchShuffling:
    """Does the prediction depend on the spatial arrangement of parts?

    What it asks:
        Images that are predicted correctly are cut into 2 x 2, 4 x 4 and 8 x 8 patches and shuffled so that no patch
        stays in place. How many are still predicted correctly? And does a second copy of the most important part,
        pasted elsewhere, raise the probability of the class?

    Why it matters:
        A face with the mouth above the eyes is not a face, and one with four eyes is not a better face. A network that
        counts parts and ignores their arrangement accepts a heap of parts as the object.

    How to read it:
        The first estimate is the share of correct predictions that survive 4 x 4 shuffling, rescaled so that
        predictions independent of the image give 0 and no loss gives 100%; the interval is over images, each shuffled
        in three orders. The curve shows unscaled shares for every grid, and for the object's box alone where masks are
        given. The second estimate counts duplicates that gain more than hiding the same place.

    Limits:
        Where classes differ in texture, predictions should survive. Small objects can stay whole in one patch. Networks
        react to the edges between patches, so a pass does not show that the network uses the arrangement, only that
        predictions do not survive without it.

    References:
        W. Brendel, M. Bethge, Approximating CNNs with bag-of-local-features models works surprisingly well on ImageNet,
        ICLR 2019.

        R. Geirhos et al., ImageNet-trained CNNs are biased towards texture, ICLR 2019.

        Y. Zhang, T. Zhu, Interpreting adversarially trained convolutional neural networks, ICML 2019.
    """
    correct = np.flatnonzero((recording.targets >= 0) & (recording.predicted == recording.targets))
    whole = _shuffled(recording, engine, correct, seed, masked=False)
    masked = np.intersect1d(correct, recording.masked)
    inside = _shuffled(recording, engine, masked, seed, masked=True) if len(masked) else None
    some = correct[evenly_spaced(len(correct), MAX_DUPLICATED)]
    found = engine.map(_duplicate, recording.subject, some, task="Duplicating parts", chunk=4)
    gains = (found["probability"][:, 1] - found["without"]).astype(np.float64) if len(some) else np.zeros(0)
    survivors = whole.looks.rows[_survivors(whole, recording.targets[whole.looks.rows])]
    shown = engine.map(_shuffled_once, recording.subject, survivors, task="Shuffling examples", chunk=1, seed=seed)
    examples = [
        _shuffled_example(recording, int(row), shown["probability"][i], seed) for i, row in enumerate(survivors)
    ]
    if len(some) and gains.max() >= GAIN:
        examples.append(_duplicated_example(recording, int(some[gains.argmax()]), found, int(gains.argmax())))
    return PatchShuffling(whole=whole, inside=inside, gains=gains, examples=tuple(examples))


def _shuffled(recording: Recording, engine: Engine, rows: NDArray[np.int64], seed: int, *, masked: bool) -> Shuffled:
    looks = look(
        recording,
        engine,
        _shuffle,
        rows,
        judge=lambda looks: _survival(recording, looks).beyond_chance(JUDGED),
        limits=LIMITS,
        views=len(GRIDS) * ORDERS,
        task="Shuffling objects" if masked else "Shuffling patches",
        seed=seed,
        chunk=32,
        draw=seed,
        masked=masked,
    )
    return _survival(recording, looks)


def _survival(recording: Recording, looks: Looks) -> Shuffled:
    """Which predictions survive in the images that were looked at."""
    if not len(looks.rows):
        nothing = np.zeros((0, len(GRIDS), ORDERS), dtype=np.bool_)
        return Shuffled(looks=looks, correct=nothing, chance=np.zeros(len(GRIDS)))
    predicted, targets, classes = looks.found["predicted"], recording.targets[looks.rows], recording.logits.shape[1]
    share = np.bincount(targets, minlength=classes) / len(targets)
    chance = [
        share @ np.bincount(predicted[:, i].ravel(), minlength=classes) / predicted[:, i].size
        for i in range(len(GRIDS))
    ]
    return Shuffled(looks=looks, correct=predicted == targets[:, None, None], chance=np.array(chance))


def _shuffle(
    subject: Subject,
    indices: Sequence[int],
    batch_size: int,
    draw: int,
    masked: bool,  # noqa: FBT001 (for engine.map)
) -> Arrays:
    """The predictions for shuffled images, N x grids x orders; an image's orders depend on its row alone."""
    pixels = subject.pixels(indices)
    boxes = _boxes(subject.masks(indices)) if masked else None
    shown = torch.stack(
        [_shown(pixels, indices, grid, order, draw, boxes) for grid in GRIDS for order in range(ORDERS)]
    )
    predicted = torch.stack([logits_of(subject.classifier, batch, batch_size).argmax(1) for batch in shown], dim=1)
    return {"predicted": predicted.view(len(indices), len(GRIDS), ORDERS).cpu().numpy()}


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


def _duplicate(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """The effect of the best duplicate of the most important part on the true class.

    `probability` is N x 2 (unchanged, with the duplicate), `without` N (the higher of unchanged and with the
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
    """For some classes, the image that survives the judged grid in the most orders."""
    kept = whole.correct[:, GRIDS.index(JUDGED)].sum(1)
    order = [int(i) for i in np.argsort(-kept, kind="stable") if kept[i]]
    first = {int(targets[i]): i for i in reversed(order)}
    return [i for i in order if first[int(targets[i])] == i][:EXAMPLES_SHOWN]


def _orders(subject: Subject, row: int, seed: int) -> Tensor:
    """An image unchanged, and in its first order for each grid."""
    pixels = subject.pixels([row])
    return torch.cat([pixels, *(_shown(pixels, [row], grid, 0, seed) for grid in GRIDS)])


def _shuffled_once(subject: Subject, indices: Sequence[int], batch_size: int, seed: int) -> Arrays:
    """Probabilities for each image unchanged and shuffled, N x (1 + grids) x K."""
    shown = [logits_of(subject.classifier, _orders(subject, row, seed), batch_size).softmax(1) for row in indices]
    return {"probability": torch.stack(shown).cpu().numpy()}


def _shuffled_example(recording: Recording, row: int, probability: NDArray[np.float32], seed: int) -> ImageGrid:
    """One image unchanged and cut ever finer, with its predictions."""
    subject = recording.subject
    names, shown = subject.classifier.class_names, _orders(subject, row, seed)
    name = names[recording.targets[row]]
    notes = ("unchanged", *(f"{grid} x {grid}" for grid in GRIDS))
    items = [
        GridItem(
            picture=picture(
                image.cpu().numpy(), f"An image of class {name}, {note}", row if note == "unchanged" else None
            ),
            caption=names[int(probabilities.argmax())],
            note=f"{note}; {name} at {percent(probabilities[recording.targets[row]])}",
        )
        for image, note, probabilities in zip(shown, notes, probability, strict=True)
    ]
    return ImageGrid(title=f"{name}: unchanged, and shuffled ever finer", items=items, strip=True)


def _duplicated_example(recording: Recording, row: int, found: Arrays, at: int) -> ImageGrid:
    """The image that gains most: unchanged, and with the second copy."""
    name = recording.subject.classifier.class_names[recording.targets[row]]
    before, after = found["probability"][at]
    (top, left, *_), (to_top, to_left, *_) = found["source"][at], found["destination"][at]
    note = f"copied from row {top}, column {left} to row {to_top}, column {to_left}"
    pixels = recording.subject.pixels([row])[0].cpu().numpy()
    items = [
        GridItem(picture=picture(pixels, f"An image of class {name}", row), caption=percent(before), note="unchanged"),
        GridItem(
            picture=picture(found["image"][at], "The same image with a part copied"), caption=percent(after), note=note
        ),
    ]
    return ImageGrid(
        title=f"{name}: its probability, and with a second copy of the most important part", items=items, strip=True
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
