"""reliance.concept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.options import CONCEPT
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent
from deeptroubles.engine import Engine
from deeptroubles.errors import ModelError, UnreadableImageError
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.images import ImageSet
from deeptroubles.methods.concepts.tcav import (
    Concept,
    concept_effect,
    concept_layer,
    concept_vectors,
    lead_spread,
    random_vectors,
    read_layer,
    unit_scale,
)
from deeptroubles.network import open_network
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.10, 0.25
"""In standard deviations of the class's lead."""
ALPHA = 0.05
MOST_IMAGES, MOST_CLASSES, MOST_OF_A_CONCEPT = 600, 20, 200
ROWS, SHOWN = 30, 5


@dataclass(frozen=True, kw_only=True)
class ConceptOnClass:
    """What a concept does for the images that are answered with a class; `concept.p` is corrected (Holm)."""

    name: str
    images: int
    target: str
    answered: int
    concept: Concept

    @property
    def size(self) -> Interval:
        """How large the effect is, whatever its sign; its lower end is 0 where random images do as much."""
        value, low, high = self.concept.effect
        least = 0.0 if low <= 0 <= high or self.concept.p >= ALPHA else min(abs(low), abs(high))
        return Interval(abs(value), least, max(abs(low), abs(high)))


@dataclass(frozen=True, kw_only=True)
class ReliesOnConcept:
    """What every concept does for every class, the largest effect first.

    Attributes:
        layer: Where concepts were looked for.
        found: Per concept and class.
        pictures: The concept of the first, and images of its class.
        unreadable: How many images of concepts cannot be read.
        impossible: Why it could not be asked, if it could not.
    """

    layer: str
    found: tuple[ConceptOnClass, ...]
    pictures: tuple[ImageGrid, ...]
    unreadable: int = 0
    impossible: str = ""

    @property
    def strongest(self) -> Interval:
        """The largest size of all concepts and classes; the intervals hold together."""
        if not self.found:
            return Interval(float("nan"), 0.0, float("inf"))
        return Interval(*(max(column) for column in zip(*(f.size for f in self.found), strict=True)))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        strongest = self.strongest
        count = min((min(f.images, f.answered) for f in self.found), default=0)
        verdict = judge(strongest, count, warn_at=WARN_AT, fail_at=FAIL_AT)
        yield Finding(
            check="reliance.concept",
            verdict=verdict,
            severity=min(1.0, strongest.value) if self.found else 0.0,
            claim=self._claim(verdict),
            criterion=f"Fails when a concept moves a class by more than {FAIL_AT} standard deviations of the class's "
            "lead, either way, with 95 % confidence for all concepts and classes together (and random images do "
            f"so in less than {percent(ALPHA)}, corrected by Holm), warns above {WARN_AT}, passes when more than "
            f"{FAIL_AT} can be ruled out; inconclusive otherwise, and below {MIN_IMAGES} images of the concept or of a "
            "class. The share of images (TCAV score) is not judged. The thresholds are conventions.",
            evidence=self._evidence(),
            caveats=[
                *(few(count) if self.found else []),
                "Only you can say whether the concept should matter: where it should, a fail is good news.",
                "It looks along one direction of one layer: a concept can matter in ways that this does not see.",
                "Whatever else sets a concept's images apart from yours counts as the concept.",
                *([f"{self.unreadable} image(s) of concepts cannot be read."] if self.unreadable else []),
            ],
        )

    def _claim(self, verdict: Verdict) -> str:
        if self.impossible:
            return f"It could not be asked of any of the concepts, so 0 were tested: {self.impossible}"
        if not self.found:
            return f"Nothing can be said: no class is the answer to {MIN_IMAGES} or more images."
        first = self.found[0]
        value, low, high = first.concept.effect
        told = (
            f"towards the concept {first.name!r} the lead of {first.target!r} changes by {value:+.2f} "
            f"({low:+.2f} to {high:+.2f}) of its standard deviation"
        )
        if verdict in {Verdict.FAIL, Verdict.WARN}:
            speaks = "for" if value > 0 else "against"
            return f"The concept {first.name!r} speaks {speaks} {first.target!r}: {told}."
        return f"No concept certainly moves a class by much; most: {told}."

    def _evidence(self) -> list[Evidence]:
        if not self.found:
            return []
        strongest = self.strongest
        columns = [
            Column(name="concept"),
            Column(name="class"),
            Column(name="effect, in standard deviations", kind="number"),
            Column(name="95 % interval for all"),
            Column(name="p (Holm)", kind="number"),
            Column(name="TCAV score", kind="share"),
            Column(name="concept told apart", kind="share"),
        ]
        rows: list[list[Cell]] = []
        for each in self.found[:ROWS]:
            value, low, high = (round(end, 3) for end in each.concept.effect)
            rows.append(
                [
                    each.name,
                    each.target,
                    value,
                    f"{low:+.2f} to {high:+.2f}",
                    round(each.concept.p, 4),
                    round(each.concept.share, 3),
                    round(each.concept.told, 3),
                ]
            )
        title = f"What each concept does for each class, at layer {self.layer}, largest first"
        return [
            Estimate(
                label="The largest effect of a concept on a class, either way",
                value=strongest.value,
                low=strongest.low,
                high=strongest.high,
                n=self.found[0].answered,
                unit="number",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            Table(title=title, columns=columns, rows=rows),
            *self.pictures,
        ]


@check("reliance.concept", needs=[CONCEPT])
def concept(recording: Recording, engine: Engine, *, seed: int) -> ReliesOnConcept:
    """Does a concept that you name by images move the answer?

    What it asks:
        You give folders of images that show a concept each (`--concept stripes/`). At the last layer with positions,
        what tells a concept's images from yours, drawn at random? And does the lead of a class over the others change
        when the activations for its images move in that direction?

    Why it matters:
        What should not matter, such as a tag, a background or a skin tone, can be shown by images where it cannot be
        said in words.

    How to read it:
        The effect is how much the lead of a class changes from images at random to the concept, to first order, in
        standard deviations of that lead over your images: 0 is nothing, and 1 is as much as images differ anyway. The
        sign says whether the concept speaks for the class or against it. Directions are learned 50 times, against five
        draws of your images and without a tenth of the concept's each time; the interval is over these and over the
        class's images, p says how often
        concepts made of random images of yours have such an effect. The TCAV score is the share of a class's images
        whose lead rises; behind this layer most networks are nearly linear, so that it is 0 or 1 for almost anything.
        "Told apart" is the share of left-out images that are told right as the concept or not (half is guessing).

    Limits:
        It sees what a direction at one layer does to first order, with activations averaged over positions. Measured
        on 41 small networks of the planted benchmark, given images with each value of the cue as concepts: it failed 7
        of the 20 that rely on the cue (10 with warnings), mostly where frames, signatures and tags decide nearly
        everything, and none of the 21 others; the size of the largest effect had an area under the ROC curve of 0.87.
        The penalty, the layer and the thresholds were chosen on these networks. Give 30 images or more, that differ
        from yours in the concept only: whatever else sets them apart is taken for the concept.

    References:
        B. Kim et al., Interpretability beyond feature attribution: quantitative testing with concept activation
        vectors (TCAV), ICML 2018.

        J. Adebayo et al., Post hoc explanations may be ineffective for detecting unknown spurious correlation, ICLR
        2022.

        S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    subject, concepts = recording.subject, CONCEPT.of(recording) or {}
    try:
        layer = concept_layer(open_network(subject.classifier))
    except ModelError as error:
        return ReliesOnConcept(layer="", found=(), pictures=(), impossible=str(error))
    rows = recording.sample(MOST_IMAGES)
    read = engine.map(_read, subject, rows, task="Reading the images", chunk=32, layer=layer)
    answered = recording.predicted[rows]
    classes, counts = np.unique(answered, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    classes = classes[[i for i in order if counts[i] >= MIN_IMAGES]]
    shown = {name: _shown(subject, engine, images, name, layer) for name, images in concepts.items()}
    effects = _effects(shown, read, answered, classes, lead_spread(recording.logits), seed)
    corrected = holm(np.array([effect.p for effect in effects.values()]))
    names = subject.classifier.class_names
    found = [
        ConceptOnClass(
            name=name,
            images=len(shown[name]),
            target=names[target],
            answered=int((answered == target).sum()),
            concept=replace(effect, p=float(p)),
        )
        for ((name, target), effect), p in zip(effects.items(), corrected, strict=True)
    ]
    found.sort(key=lambda f: (-f.size.low, -f.size.value, f.name, f.target))
    unreadable = sum(min(len(images), MOST_OF_A_CONCEPT) - len(shown[name]) for name, images in concepts.items())
    pictures = _pictures(recording, concepts[found[0].name], found[0]) if found else ()
    return ReliesOnConcept(layer=layer, found=tuple(found), pictures=pictures, unreadable=unreadable)


def _effects(
    shown: Mapping[str, NDArray[np.float64]],
    read: Mapping[str, NDArray[np.float64]],
    answered: NDArray[np.int64],
    classes: NDArray[np.int64],
    spread: NDArray[np.float64],
    seed: int,
) -> dict[tuple[str, int], Concept]:
    """The effect of every concept with two readable images or more on every class."""
    if not len(classes):
        return {}  # and perhaps too few images to draw counterparts from
    scale = unit_scale(read["activations"])
    others, gradients = read["activations"] / scale, read["gradients"] * scale
    tested = {name: values / scale for name, values in shown.items() if len(values) > 1}
    level = 1 - 0.05 / max(1, len(tested) * len(classes))
    found = {}
    for name, values in tested.items():
        vectors = concept_vectors(values, others, seed=seed)
        at_random = random_vectors(others, len(values), seed=seed + 1)
        for target in classes.tolist():
            found[name, target] = concept_effect(
                vectors, at_random, gradients[answered == target], float(spread[target]), level
            )
    return found


def _shown(subject: Subject, engine: Engine, images: ImageSet, name: str, layer: str) -> NDArray[np.float64]:
    """The layer's activations for the concept's images that can be read, at most MOST_OF_A_CONCEPT of them."""
    unlabelled = Subject(subject.classifier, images, np.full(len(images), -1, dtype=np.int64))
    count = min(len(images), MOST_OF_A_CONCEPT)
    rows = np.linspace(0, len(images) - 1, count).astype(np.int64)
    seen = engine.map(_read_concept, unlabelled, rows, task=f"Reading {name}", chunk=32, layer=layer)
    return np.asarray(seen["activations"][seen["readable"]])


def _read(subject: Subject, indices: Sequence[int], batch_size: int, layer: str) -> dict[str, NDArray[Any]]:
    """Activations, and gradients of the lead of the class that is answered."""
    pixels = subject.pixels(indices)
    targets = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    return read_layer(subject.classifier, pixels, targets, layer)._asdict()


def _read_concept(subject: Subject, indices: Sequence[int], batch_size: int, layer: str) -> dict[str, NDArray[Any]]:
    network = open_network(subject.classifier)
    activations = np.zeros((len(indices), network.layer(layer).units))
    readable = np.zeros(len(indices), dtype=bool)
    for position, index in enumerate(indices):
        try:
            pixels = subject.pixels([index])
        except UnreadableImageError:
            continue
        readable[position] = True
        activations[position] = network.activations(pixels, [layer])[layer].detach().double().mean((2, 3)).cpu()[0]
    return {"activations": activations, "readable": readable}


def _pictures(recording: Recording, concept_set: ImageSet, first: ConceptOnClass) -> tuple[ImageGrid, ...]:
    """Some images of a concept, and some that are answered with the class on which it has the largest effect."""
    subject = recording.subject
    names = subject.classifier.class_names
    rows = np.flatnonzero(recording.predicted == names.index(first.target))[:SHOWN]
    unlabelled = Subject(subject.classifier, concept_set, np.zeros(len(concept_set), dtype=np.int64))
    return (
        _grid(unlabelled, range(len(concept_set)), f"Images of the concept {first.name!r}"),
        _grid(subject, rows.tolist(), f"Images that are answered {first.target!r}"),
    )


def _grid(subject: Subject, rows: Sequence[int], title: str) -> ImageGrid:
    items: list[GridItem] = []
    for row in rows:
        path = str(subject.images.table["path"].iloc[row])
        try:
            pixels = subject.pixels([row])[0]
        except UnreadableImageError:
            continue
        items.append(GridItem(picture=picture(pixels.cpu().numpy(), f"{title}: {path}"), caption=path))
        if len(items) == SHOWN:
            break
    return ImageGrid(title=title, items=items)
