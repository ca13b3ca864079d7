"""adversarial.fooling: how confident is it on meaningless images?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.adversarial.shared.masking import gradient_masking, withheld
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.attacks.fooling_ascent import fooling_ascent
from deeptroubles.methods.attacks.map_elites import map_elites
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject, logits_of

CONFIDENT = 0.9
"""A meaningless image with a probability above this fools the network."""
FAIL_AT = 0.5
"""The check fails if more than this share of the noise images, or of the classes tried, fools the network."""
NOISES, STEPS, CLASSES = 32, 40, 6
SMALL = 64
"""Up to this side length evolution is cheap."""
LARGE_RUN, SMALL_RUN = (6, 24), (30, 60)
"""Generations and children of the evolution for large and for small images."""
EXAMPLES_SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Fooling:
    """The network's confidence on meaningless images.

    Attributes:
        noise: The highest probability of any class on uniform noise, one per image.
        ascended: The probability of the class on noise that was optimized towards it, one per class.
        evolved: The probability of the class on the best evolved pattern, one per class.
        queries: How many patterns the evolution tried.
        masked: Signs of masked gradients, which the ascent follows.
        grid: Images with their class and probability.
    """

    noise: NDArray[np.float64]
    ascended: NDArray[np.float64]
    evolved: NDArray[np.float64]
    queries: int
    masked: tuple[str, ...]
    grid: ImageGrid

    @property
    def verdict(self) -> Verdict:
        """See the criterion."""
        if (self.noise > CONFIDENT).mean() > FAIL_AT or (self.ascended > CONFIDENT).mean() > FAIL_AT:
            return Verdict.FAIL
        fooled = (self.ascended > CONFIDENT).any() or (self.evolved > CONFIDENT).any() or (self.noise > CONFIDENT).any()
        return Verdict.WARN if fooled else withheld(Verdict.PASS, self.masked)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        kinds = {
            "uniform noise": self.noise,
            "optimized noise (gradient ascent)": self.ascended,
            "evolved patterns": self.evolved,
        }
        rows: list[list[Cell]] = [
            [name, len(values), float(values.max()), float(np.median(values)), float((values > CONFIDENT).mean())]
            for name, values in kinds.items()
        ]
        columns = [
            Column(name="images"),
            Column(name="number", kind="number"),
            Column(name="highest", kind="probability"),
            Column(name="median", kind="probability"),
            Column(name=f"above {percent(CONFIDENT)}", kind="share"),
        ]
        yield Finding(
            check="adversarial.fooling",
            verdict=self.verdict,
            severity=float(max((self.ascended > CONFIDENT).mean(), self.noise.max() > CONFIDENT)),
            claim=f"The confidence is above {percent(CONFIDENT)} on optimized noise for {_fooled(self.ascended)} "
            f"classes tried, and on evolved patterns for {_fooled(self.evolved)} classes; the highest confidence on "
            f"uniform noise is {percent(float(self.noise.max()))}.",
            criterion=f"Fails if the confidence is above {percent(CONFIDENT)} on the optimized noise of more than "
            f"{percent(FAIL_AT)} of the classes tried, or on more than {percent(FAIL_AT)} of the uniform noise images. "
            "Warns if it is above that on any image. Passes otherwise; inconclusive instead of a pass while gradients "
            "look masked. The thresholds are conventions.",
            evidence=[Table(title="Confidence on meaningless images", columns=columns, rows=rows), self.grid],
            caveats=[self._budget(), *self.masked, "Evolved patterns can resemble a class; look at the examples."],
        )

    def _budget(self) -> str:
        return (
            f"Search budget: {STEPS} steps of gradient ascent for each of {len(self.ascended)} classes, and "
            f"{self.queries} evolved patterns. A pass means: not fooled at this budget."
        )


@check("adversarial.fooling", common=True)
def fooling(recording: Recording, engine: Engine, *, seed: int) -> Fooling:
    """How confident is it on meaningless images?

    What it asks:
        The network sees uniform noise, noise optimized towards a class by gradient ascent, and patterns evolved for all
        classes at once. How confident is it?

    Why it matters:
        A network that is confident on noise does not recognize out-of-distribution inputs, so its confidence is
        misleading.

    How to read it:
        The table gives the highest and the median probability for each kind of image, exactly as a file holds it; the
        examples show the most confident of each.

    Limits:
        The search is short: published runs evolve 1,000 to 5,000 generations. Networks with very many classes are
        rarely confident at first, and may become so with more steps.

    References:
        A. Nguyen, J. Yosinski, J. Clune, Deep neural networks are easily fooled, CVPR 2015.
    """
    subject = recording.subject
    common = np.unique(recording.predicted, return_counts=True)
    classes = common[0][np.argsort(-common[1], kind="stable")][:CLASSES].tolist()
    found = engine.once(_search, subject, task="Searching fooling images", classes=classes, seed=seed)
    pictures, shares = found["pictures"], found["shares"]
    names = subject.classifier.class_names
    order = [*range(min(len(classes), EXAMPLES_SHOWN // 2)), *range(len(classes), len(classes) + EXAMPLES_SHOWN // 2)]
    items = [
        GridItem(
            picture=picture(pictures[i].astype(np.float32) / 255, f"Predicted as {names[int(found['named'][i])]}"),
            caption=names[int(found["named"][i])],
            note=f"{shares[i]:.1%}, {'gradient' if i < len(classes) else 'evolved'}",
        )
        for i in order
        if i < len(pictures)
    ]
    return Fooling(
        noise=found["noise"],
        ascended=shares[: len(classes)],
        evolved=found["evolved"],
        queries=int(found["queries"]),
        masked=tuple(gradient_masking(recording, engine).raised()),
        grid=ImageGrid(title="The most confident predictions on meaningless images", items=items),
    )


def _fooled(confidence: NDArray[np.float64]) -> str:
    """For how many classes the confidence is too high: '3 of 6'."""
    return f"{int((confidence > CONFIDENT).sum())} of {len(confidence)}"


def _search(subject: Subject, batch_size: int, classes: list[int], seed: int) -> Arrays:
    """The whole search; it needs no images."""
    classifier = subject.classifier
    size = (NOISES, classifier.channels, *classifier.size)
    noise = torch.randint(0, 256, size, generator=torch.Generator().manual_seed(seed)) / 255
    noisy = logits_of(classifier, noise.to(classifier.device), batch_size).softmax(1).amax(1)
    ascended = fooling_ascent(classifier, classes, steps=STEPS, seed=seed, batch_size=batch_size)
    generations, children = SMALL_RUN if max(classifier.size) <= SMALL else LARGE_RUN
    evolved = map_elites(classifier, generations=generations, children=children, seed=seed, batch_size=batch_size)
    best = evolved.confidence.argsort(descending=True)[:EXAMPLES_SHOWN]
    pictures = torch.cat([ascended.images, evolved.images[best]])
    shares = torch.cat([ascended.confidence.double(), evolved.confidence[best].double()])
    found = {
        "noise": noisy.double(),
        "pictures": to_bytes(pictures),
        "shares": shares,
        "named": torch.cat([ascended.classes, evolved.classes[best]]),
        "evolved": evolved.confidence.double(),
        "queries": torch.tensor(evolved.queries),
    }
    return {name: values.cpu().numpy() for name, values in found.items()}
