"""adversarial.fooling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.attacks.fooling_ascent import fooling_ascent
from deeptroubles.methods.attacks.map_elites import map_elites
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject, logits_of

SURE = 0.9
"""A network that is this sure of what means nothing is fooled."""
WARN_AT = 0.5
NOISES, STEPS, CLASSES = 32, 40, 6
SMALL = 64
"""Up to this side length evolution is cheap."""
LARGE_RUN, SMALL_RUN = (6, 24), (30, 60)
"""Generations and children of the evolution for large and for small images."""
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Fooling:
    """How sure the network is of pictures that mean nothing.

    Attributes:
        noise: The highest probability of any class on uniform noise, one per picture.
        ascended: The probability of the class on noise that was moved towards it, one per class.
        evolved: The probability of the class on the best evolved pattern, one per class.
        looks: How many pictures the evolution showed.
        grid: Pictures with their class and probability.
    """

    noise: NDArray[np.float64]
    ascended: NDArray[np.float64]
    evolved: NDArray[np.float64]
    looks: int
    grid: ImageGrid

    @property
    def verdict(self) -> Verdict:
        """By the share of classes that gradient ascent makes it sure of, and by its confidence on mere noise."""
        if (self.noise > SURE).mean() > WARN_AT or (self.ascended > SURE).mean() > WARN_AT:
            return Verdict.FAIL
        fooled = (self.ascended > SURE).any() or (self.evolved > SURE).any() or (self.noise > SURE).any()
        return Verdict.WARN if fooled else Verdict.PASS

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        kinds = {
            "uniform noise": self.noise,
            "noise moved along the gradient": self.ascended,
            "evolved patterns": self.evolved,
        }
        rows: list[list[Cell]] = [
            [name, len(values), float(values.max()), float(np.median(values)), float((values > SURE).mean())]
            for name, values in kinds.items()
        ]
        columns = [
            Column(name="pictures"),
            Column(name="number", kind="number"),
            Column(name="highest", kind="probability"),
            Column(name="median", kind="probability"),
            Column(name=f"above {percent(SURE)}", kind="share"),
        ]
        sure = int((self.ascended > SURE).sum())
        yield Finding(
            check="adversarial.fooling",
            verdict=self.verdict,
            severity=float(max((self.ascended > SURE).mean(), self.noise.max() > SURE)),
            claim=f"Pictures that mean nothing were made for {len(self.ascended)} classes; it is more than "
            f"{percent(SURE)} sure of {sure} of them. The highest probability on plain noise is "
            f"{percent(float(self.noise.max()))}.",
            criterion=f"Fails when it is more than {percent(SURE)} sure of the pictures of more than half of the "
            "classes tried, or of more than half of plain noises; warns when it is of any; passes otherwise.",
            evidence=[Table(title="How sure it is of what means nothing", columns=columns, rows=rows), self.grid],
            caveats=[self._budget(), "Evolved patterns can come near what a class looks like: see for yourself."],
        )

    def _budget(self) -> str:
        return (
            f"Searched: {STEPS} steps of gradient ascent for each of {len(self.ascended)} classes, and {self.looks} "
            "evolved patterns. A pass means: not fooled by these at this budget."
        )


@check("adversarial.fooling")
def fooling(recording: Recording, engine: Engine, *, seed: int) -> Fooling:
    """How sure is it of pictures that mean nothing?

    What it asks:
        Plain noise, noise that was moved along the gradient towards a class, and patterns that were evolved for all
        classes at once are shown to it. How sure is it of them?

    Why it matters:
        A network that is sure of noise does not know what it does not know. Whoever looks at its confidence is fooled.

    How to read it:
        The table gives the highest and the median probability for each kind of picture, exactly as a file holds it; the
        pictures show the surest of each.

    Limits:
        A short search: published runs evolve 1,000 to 5,000 generations. Networks with very many classes are seldom
        sure of anything at first, and can be made so with more steps.

    References:
        A. Nguyen, J. Yosinski, J. Clune, Deep neural networks are easily fooled, CVPR 2015.
    """
    subject = recording.subject
    common = np.unique(recording.predicted, return_counts=True)
    classes = common[0][np.argsort(-common[1], kind="stable")][:CLASSES].tolist()
    found = engine.map(_search, subject, [0], task="Fooling", chunk=1, classes=classes, seed=seed)
    pictures, shares = found["pictures"][0], found["shares"][0]
    names = subject.classifier.class_names
    order = [*range(min(len(classes), SHOWN // 2)), *range(len(classes), len(classes) + SHOWN // 2)]
    items = [
        GridItem(
            picture=picture(pictures[i].astype(np.float32) / 255, f"Called {names[int(found['named'][0][i])]}"),
            caption=names[int(found["named"][0][i])],
            note=f"{shares[i]:.1%}, {'gradient' if i < len(classes) else 'evolved'}",
        )
        for i in order
        if i < len(pictures)
    ]
    return Fooling(
        noise=found["noise"][0],
        ascended=shares[: len(classes)],
        evolved=found["evolved"][0],
        looks=int(found["looks"][0]),
        grid=ImageGrid(title="What it takes for something", items=items),
    )


def _search(
    subject: Subject, _indices: Sequence[int], batch_size: int, classes: list[int], seed: int
) -> dict[str, NDArray[Any]]:
    """The whole search, as one row: it is about the network and not about images."""
    classifier = subject.classifier
    size = (NOISES, classifier.channels, *classifier.size)
    noise = torch.randint(0, 256, size, generator=torch.Generator().manual_seed(seed)) / 255
    noisy = logits_of(classifier, noise.to(classifier.device), batch_size).softmax(1).amax(1)
    ascended = fooling_ascent(classifier, classes, steps=STEPS, seed=seed, batch_size=batch_size)
    generations, children = SMALL_RUN if max(classifier.size) <= SMALL else LARGE_RUN
    evolved = map_elites(classifier, generations=generations, children=children, seed=seed, batch_size=batch_size)
    best = evolved.confidence.argsort(descending=True)[:SHOWN]
    pictures = torch.cat([ascended.images, evolved.images[best]])
    shares = torch.cat([ascended.confidence.double(), evolved.confidence[best].double()])
    row = {
        "noise": noisy.double(),
        "pictures": to_bytes(pictures),
        "shares": shares,
        "named": torch.cat([ascended.classes, evolved.classes[best]]),
        "evolved": evolved.confidence.double(),
        "looks": torch.tensor(evolved.queries),
    }
    return {name: values.cpu().numpy()[None] for name, values in row.items()}
