"""reliance.background: does the prediction depend on the background?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.shared.objects import Objects, known_objects
from deeptroubles.checks.wording import percent, points, points_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.transforms.shared.backgrounds import (
    black_box,
    no_foreground,
    on_background,
    only_foreground,
    tiled_background,
)
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import Subject, logits_of

MAX_IMAGES, FEWEST = 256, 64
"""Objects that are pasted, and how many at least whatever the budget."""
DRAWS = 3
"""Backgrounds of each kind for every object."""
EXAMPLES_SHOWN = 3
VARIANTS = {
    "Original": "the unchanged image",
    "Mixed-same": "on the background of another image of its class",
    "Mixed-rand": "on the background of an image of any class",
    "Mixed-next": "on the background of the next class",
    "Mixed-same, mirrored": "on the same background of its class, mirrored",
    "Mixed-rand, mirrored": "on the same background of any class, mirrored",
    "Only-FG": "the object on black",
    "No-FG": "black in the object's shape",
    "Only-BG-B": "black in the object's box",
    "Only-BG-T": "background in the object's box",
}
MIXED = ("Mixed-same", "Mixed-rand", "Mixed-next")
MIRRORED = ("Mixed-same, mirrored", "Mixed-rand, mirrored")
LEAST = 2
"""A class is measured if this many of its images have a known object."""
PUBLISHED = {
    "ResNet-50": 0.073,
    "VGG-16 with batch normalization": 0.102,
    "ResNet-152": 0.058,
    "ResNet-50 trained on the nine classes only": 0.142,
    "the same, trained on Mixed-rand": 0.002,
}
"""The gap on ImageNet-9 (Xiao et al., 2021)."""
LIMITS = Limits(
    "the accuracy on same-class backgrounds minus that on random backgrounds (the BG-gap of ImageNet-9)",
    warn_at=0.05,
    fail_at=0.15,
    note="Backgrounds are shown as they are and mirrored, and the smaller of the two gaps counts: a mirrored sky is "
    "still sky, but a mark at the bottom left is at another place. Where objects were found by co-localization, a fail "
    "becomes a warning. Published gaps: "
    + ", ".join(f"{name} {points(value)}" for name, value in PUBLISHED.items())
    + ".",
    show=points,
)


@dataclass(frozen=True, kw_only=True)
class Background:
    """The share of correct predictions for each image in each variant.

    Attributes:
        correct: N x variants, over draws of backgrounds.
        examples: Images in every variant.
        objects: Where the objects are, and of which classes.
    """

    correct: NDArray[np.float64]
    examples: tuple[ImageGrid, ...]
    objects: Objects

    @property
    def judged(self) -> tuple[str, str]:
        """The variants that are compared: backgrounds as they are, or mirrored, whichever gap has the smaller mean."""
        return min((MIXED[0], MIXED[1]), MIRRORED, key=lambda pair: float(self._gap(*pair).sum()))

    @property
    def gap(self) -> NDArray[np.float64]:
        """For each image, accuracy on same-class backgrounds minus that on random backgrounds; N."""
        return self._gap(*self.judged)

    def _gap(self, same: str, rand: str) -> NDArray[np.float64]:
        return self._column(same) - self._column(rand)

    def _column(self, name: str) -> NDArray[np.float64]:
        return self.correct[:, list(VARIANTS).index(name)]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count = len(self.correct)
        if not count:
            yield Finding(
                check="reliance.background",
                verdict=Verdict.INCONCLUSIVE,
                claim="Inconclusive: no two classes have two images each whose object is known.",
                criterion=LIMITS.criterion,
                caveats=[*self.objects.caveats(LEAST), "Give masks for at least two images of each of two classes."],
            )
            return
        gap, shares = mean_difference(self.gap), self._shares()
        same, rand = (percent(shares[name].value) for name in self.judged)
        how = ", both mirrored" if self.judged == MIRRORED else ""
        yield Finding(
            check="reliance.background",
            verdict=self._verdict(gap, count),
            severity=max(0.0, gap.value),
            claim=f"Accuracy is {same} on same-class backgrounds and {rand} on random backgrounds{how}, a gap of "
            f"{points_interval(gap)} "
            f"(background only: {percent(shares['Only-BG-T'].value)}, object only: "
            f"{percent(shares['Only-FG'].value)}).",
            criterion=LIMITS.criterion,
            evidence=self._evidence(gap, shares),
            caveats=[
                *few(count),
                *self.objects.caveats(LEAST),
                f"Each object is pasted on {DRAWS} backgrounds of each kind; the interval is over objects.",
                "Pasted objects have hard outlines and no shadows, on both kinds of background.",
                "Published gaps are for nine groups of classes, these for the classifier's own classes.",
            ],
        )

    def _verdict(self, gap: Interval, count: int) -> Verdict:
        verdict = LIMITS.verdict(gap, count)
        rough = self.objects.how == "co-localization"
        return Verdict.WARN if rough and verdict is Verdict.FAIL else verdict

    def _shares(self) -> dict[str, Interval]:
        return {name: mean_share(column) for name, column in zip(VARIANTS, self.correct.T, strict=True)}

    def _evidence(self, gap: Interval, shares: dict[str, Interval]) -> list[Evidence]:
        columns = [
            Column(name="variant"),
            Column(name="image"),
            Column(name="accuracy", kind="share"),
            Column(name="95% CI", kind="interval"),
        ]
        rows: list[list[Cell]] = [
            [name, VARIANTS[name], round(s.value, 4), [s.low, s.high]] for name, s in shares.items()
        ]
        return [
            LIMITS.estimate("Accuracy lost on random backgrounds (BG-gap)", gap, len(self.correct)),
            *self.examples,
            Table(title="Accuracy in each variant of ImageNet-9", columns=columns, rows=rows),
        ]


@check("reliance.background", needs=[LABELS])
def background(recording: Recording, engine: Engine, *, seed: int) -> Background:
    """Does the prediction depend on the background?

    What it asks:
        Each object is cut out along its mask and pasted on the background of another image of its class, of an image of
        a random class, and of the next class. How much does the accuracy drop when the background is uninformative? The
        object alone and the background alone are tested too. Without masks, objects are found first: by two
        segmentations where objects stand out, otherwise by co-localization with the embedded network.

    Why it matters:
        Cows stand on grass. A classifier that learned the grass is correct until a cow stands on a beach.

    How to read it:
        The estimate is the accuracy on same-class backgrounds minus that on random backgrounds, image by image. 0 means
        that the background does not matter. Every background is shown mirrored, too, and the smaller gap counts. If the
        accuracy from the background alone (Only-BG-T) is well above chance, backgrounds predict the class and the
        network has learned it. The examples show the objects whose prediction depends most on the background, in all
        variants.

    Limits:
        A random background can be of the object's own class. A mask that is too small leaves a rim of the object in the
        background; one that is too large takes background along. Without masks, outlines of objects are rough, and
        objects are searched in at most 256 images.

    References:
        K. Xiao et al., Noise or signal: the role of image backgrounds in object recognition, ICLR 2021.
    """
    objects = known_objects(recording, engine, seed)
    subject = objects.subject
    rows, donors = _donors(objects, recording.affordable(MAX_IMAGES, DRAWS * len(VARIANTS), FEWEST), seed)
    if not len(rows):
        return Background(correct=np.zeros((0, len(VARIANTS))), examples=(), objects=objects)
    items = [(row, chosen) for row, chosen in zip(rows.tolist(), donors.tolist(), strict=True)]
    found = engine.map(_variants, subject, items, task="Changing backgrounds")
    result = Background(correct=found["correct"].astype(np.float64), examples=(), objects=objects)
    order = np.argsort(-result.gap, kind="stable")[:EXAMPLES_SHOWN].tolist()
    shown = engine.map(_shown_variants, subject, [items[i] for i in order], task="Showing backgrounds", chunk=1)
    examples = [_example(subject, items[i], shown["probability"][at]) for at, i in enumerate(order)]
    return replace(result, examples=tuple(examples))


def _donors(objects: Objects, most: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Objects with all kinds of background available (N), and the images that donate them (N x draws x 3)."""
    masked, targets = objects.rows, objects.subject.targets
    by_class = {k: masked[targets[masked] == k] for k in np.unique(targets[masked]).tolist()}
    classes = list(by_class)
    usable = [row for row in masked.tolist() if len(by_class[targets[row]]) >= LEAST and len(classes) > 1]
    if not usable:
        return np.zeros(0, dtype=np.int64), np.zeros((0, DRAWS, len(MIXED)), dtype=np.int64)
    rows = np.array(usable)[evenly_spaced(len(usable), most)]
    chosen = []
    for row in rows.tolist():
        random, own = np.random.default_rng([seed, row]), targets[row]
        following = classes[(classes.index(own) + 1) % len(classes)]
        for _ in range(DRAWS):
            any_class = by_class[classes[random.integers(len(classes))]]
            chosen.append(
                [int(random.choice(pool[pool != row])) for pool in (by_class[own], any_class, by_class[following])]
            )
    return rows, np.array(chosen).reshape(len(rows), DRAWS, len(MIXED))


def _show(subject: Subject, row: int, donors: NDArray[np.int64]) -> dict[str, Tensor]:
    """An image in every variant, with one or (mixed) several draws each; donors draws x 3."""
    pixels, masks = subject.pixels([row]), subject.masks([row])
    behind = {
        name: tiled_background(subject.pixels(chosen), subject.masks(chosen))
        for name, chosen in zip(MIXED, donors.T.tolist(), strict=True)
    }
    behind |= {name: behind[kind].flip(-1) for name, kind in zip(MIRRORED, MIXED, strict=False)}
    shown = {"Original": pixels} | {name: on_background(pixels, masks, each) for name, each in behind.items()}
    alone = (only_foreground, no_foreground, black_box, tiled_background)
    return shown | {name: make(pixels, masks) for name, make in zip(list(VARIANTS)[len(shown) :], alone, strict=True)}


Item = tuple[int, list[list[int]]]
"""An image's row, and the rows of those that donate backgrounds: draws x 3."""


def _variants(subject: Subject, items: Sequence[Item], batch_size: int) -> Arrays:
    """Share of correct predictions in each variant, N x variants."""
    correct = []
    for row, donors in items:
        shown = _show(subject, row, np.array(donors))
        predicted = logits_of(subject.classifier, torch.cat(list(shown.values())), batch_size).argmax(1)
        parts = torch.split((predicted == int(subject.targets[row])).float(), [len(p) for p in shown.values()])
        correct.append([float(part.mean()) for part in parts])
    return {"correct": np.array(correct)}


def _shown_variants(subject: Subject, items: Sequence[Item], batch_size: int) -> Arrays:
    """Probabilities of every draw of every variant, N x images x K; variants one by one, as they are shown."""
    found = []
    for row, donors in items:
        shown = _show(subject, row, np.array(donors)).values()
        found.append(torch.cat([logits_of(subject.classifier, pixels, batch_size).softmax(1) for pixels in shown]))
    return {"probability": torch.stack(found).cpu().numpy()}


def _example(subject: Subject, item: Item, probability: NDArray[np.float32]) -> ImageGrid:
    """One image in every variant, with its prediction; of several draws the first that is predicted wrongly."""
    (row, donors), start = item, 0
    names, true = subject.classifier.class_names, int(subject.targets[row])
    items = []
    for name, pixels in _show(subject, row, np.array(donors)).items():
        likely = probability[start : start + len(pixels)]
        start += len(pixels)
        wrong = likely.argmax(1) != true
        i = int((~wrong).argmax()) if name.startswith("Mixed-same") else int(wrong.argmax())
        best = int(likely[i].argmax())
        shown = picture(pixels[i].cpu().numpy(), f"{names[true]}, {VARIANTS[name]}, predicted as {names[best]}")
        items.append(GridItem(picture=shown, caption=names[best], note=f"{name}, {percent(float(likely[i, best]))}"))
    return ImageGrid(title=f"{names[true]}, in every variant", items=items)
