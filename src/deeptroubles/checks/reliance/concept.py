"""reliance.concept: does a concept, given as images, change the prediction?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.options import CONCEPT
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ModelError, UnreadableImageError
from deeptroubles.findings import Cell, Column, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.images import ImageSet
from deeptroubles.methods.concepts.tcav import (
    Concept,
    concept_effect,
    concept_layer,
    concept_vectors,
    lead_std,
    random_vectors,
    read_layer,
    unit_scale,
)
from deeptroubles.network import open_network
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

ALPHA = 0.05
LIMITS = Limits(
    "the largest effect of a concept on a class (in standard deviations of the class's lead, for all concepts and "
    "classes together)",
    warn_at=0.10,
    fail_at=0.25,
    note=f"An effect counts only if random images reach it in less than {percent(ALPHA)} of draws (Holm-corrected). "
    "The TCAV score is not judged. The thresholds are conventions.",
    show=str,
)
MAX_IMAGES, MAX_CLASSES, MAX_CONCEPT_IMAGES = 600, 20, 200
MAX_ROWS, EXAMPLES_SHOWN = 30, 5


@dataclass(frozen=True, kw_only=True)
class ConceptOnClass:
    """The effect of a concept on the images predicted as a class; `concept.p` is corrected (Holm)."""

    name: str
    images: int
    target: str
    predicted: int
    concept: Concept

    @property
    def size(self) -> Interval:
        """The effect without its sign; its lower end is 0 where random images have the same effect."""
        value, low, high = self.concept.effect
        least = 0.0 if low <= 0 <= high or self.concept.p >= ALPHA else min(abs(low), abs(high))
        return Interval(abs(value), least, max(abs(low), abs(high)))


@dataclass(frozen=True, kw_only=True)
class ReliesOnConcept:
    """The effect of every concept on every class, the largest first.

    Attributes:
        layer: The layer that was read.
        found: One entry per concept and class.
        pictures: Images of the first entry's concept, and of its class.
        unreadable: How many images of concepts are unreadable.
        impossible: Why nothing could be tested, if so.
    """

    layer: str
    found: tuple[ConceptOnClass, ...]
    pictures: tuple[ImageGrid, ...]
    unreadable: int = 0
    impossible: str = ""

    @property
    def strongest(self) -> Interval:
        """The largest effect of all concepts and classes; the intervals hold together."""
        if not self.found:
            return Interval(float("nan"), 0.0, float("inf"))
        return Interval(*(max(column) for column in zip(*(f.size for f in self.found), strict=True)))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        strongest = self.strongest
        count = min((min(f.images, f.predicted) for f in self.found), default=0)
        verdict = LIMITS.verdict(strongest, count)
        yield Finding(
            check="reliance.concept",
            verdict=verdict,
            severity=min(1.0, strongest.value) if self.found else 0.0,
            claim=self._claim(verdict),
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *(few(count) if self.found else []),
                "Whether the concept should matter is for you to decide: if it should, a fail is the desired result.",
                "Only one direction of one layer is tested; a concept can matter in other ways.",
                "Any other difference between a concept's images and yours counts as the concept.",
                *([f"{plural(self.unreadable, 'image')} of concepts unreadable."] if self.unreadable else []),
            ],
        )

    def _claim(self, verdict: Verdict) -> str:
        if self.impossible:
            return f"Inconclusive: 0 concepts were tested. {self.impossible}"
        if not self.found:
            return f"Inconclusive: no class is predicted for {MIN_IMAGES} or more images."
        first = self.found[0]
        value, low, high = first.concept.effect
        changes, size = "changes", f"{value:+.2f} (95% CI {low:+.2f} to {high:+.2f})"
        if low * high > 0:
            changes = "increases" if value > 0 else "decreases"
            least, most = sorted((abs(low), abs(high)))
            size = f"{abs(value):.2f} (95% CI {least:.2f} to {most:.2f})"
        effect = f"{changes} the lead of {first.target!r} over the other classes by {size} standard deviations"
        if verdict in {Verdict.FAIL, Verdict.WARN}:
            return f"The concept {first.name!r} {effect}."
        return f"No concept has a large, significant effect; the largest: {first.name!r} {effect}."

    def _evidence(self) -> list[Evidence]:
        if not self.found:
            return []
        columns = [
            Column(name="concept"),
            Column(name="class"),
            Column(name="effect (standard deviations)", kind="number"),
            Column(name="95% CI (all together)"),
            Column(name="p (Holm)", kind="number"),
            Column(name="TCAV score", kind="share"),
            Column(name="concept classified correctly", kind="share"),
        ]
        rows: list[list[Cell]] = []
        for each in self.found[:MAX_ROWS]:
            value, low, high = (round(end, 3) for end in each.concept.effect)
            rows.append(
                [
                    each.name,
                    each.target,
                    value,
                    f"{low:+.2f} to {high:+.2f}",
                    round(each.concept.p, 4),
                    round(each.concept.share, 3),
                    round(each.concept.accuracy, 3),
                ]
            )
        title = f"Effect of each concept on each class, at layer {self.layer}, largest first"
        return [
            LIMITS.estimate(
                "Largest effect of a concept on a class", self.strongest, self.found[0].predicted, "number"
            ),
            Table(title=title, columns=columns, rows=rows),
            *self.pictures,
        ]


@check("reliance.concept", needs=[CONCEPT])
def concept(recording: Recording, engine: Engine, *, seed: int) -> ReliesOnConcept:
    """Does a concept, given as images, change the prediction?

    What it asks:
        You give folders of images that show a concept each (`--concept stripes/`). At the last layer with spatial
        positions, which direction separates a concept's images from randomly drawn images of yours? Does the lead of a
        class over the other classes change when the activations of its images move in that direction?

    Why it matters:
        Images can show what words cannot describe precisely, such as a tag, a background or a skin tone that should not
        matter.

    How to read it:
        The effect is the change of a class's lead from random images to the concept, to first order, in standard
        deviations of that lead over your images: 0 is no effect, 1 is as much as images differ anyway. A positive
        effect increases the lead. Directions are learned 50 times, against five draws of your images and without a
        tenth of the concept's each time; the interval is over these and over the class's images. p is how often
        concepts made of random images of yours have such an effect. The TCAV score is the share of a class's images
        whose lead rises; after this layer most networks are nearly linear, so it is 0 or 1 for almost any concept.
        "Concept classified correctly" is the share of held-out images that the direction classifies correctly as
        showing the concept or not (50% is chance).

    Limits:
        Only the first-order effect of one direction at one layer is measured, with activations averaged over positions.
        On 41 small networks of the planted benchmark, with images of each value of the cue as concepts, it failed 7 of
        the 20 that rely on the cue (10 with warnings), mostly where frames, signatures and tags decide nearly
        everything, and none of the 21 others; the largest effect had an AUROC of 0.87. The penalty, the layer and the
        thresholds were chosen on these networks. Give 30 images or more that differ from yours in the concept only: any
        other difference counts as the concept.

    References:
        B. Kim et al., Interpretability beyond feature attribution: quantitative testing with concept activation
        vectors (TCAV), ICML 2018.

        J. Adebayo et al., Post hoc explanations may be ineffective for detecting unknown spurious correlation, ICLR
        2022.

        S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 1979.
    """
    subject, concepts = recording.subject, CONCEPT.of(recording) or {}
    rows = recording.sample(MAX_IMAGES)
    try:
        layer = concept_layer(open_network(subject.classifier))
        read = engine.map(_read, subject, rows, task="Reading activations", chunk=32, layer=layer)
    except ModelError as error:
        return ReliesOnConcept(layer="", found=(), pictures=(), impossible=str(error))
    predicted = recording.predicted[rows]
    classes, counts = np.unique(predicted, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:MAX_CLASSES]
    classes = classes[[i for i in order if counts[i] >= MIN_IMAGES]]
    shown = {name: _shown(subject, engine, images, name, layer) for name, images in concepts.items()}
    effects = _effects(shown, read, predicted, classes, lead_std(recording.logits), seed)
    corrected = holm(np.array([effect.p for effect in effects.values()]))
    names = subject.classifier.class_names
    found = [
        ConceptOnClass(
            name=name,
            images=len(shown[name]),
            target=names[target],
            predicted=int((predicted == target).sum()),
            concept=replace(effect, p=float(p)),
        )
        for ((name, target), effect), p in zip(effects.items(), corrected, strict=True)
    ]
    found.sort(key=lambda f: (-f.size.low, -f.size.value, f.name, f.target))
    unreadable = sum(min(len(images), MAX_CONCEPT_IMAGES) - len(shown[name]) for name, images in concepts.items())
    pictures = _pictures(recording, concepts[found[0].name], found[0]) if found else ()
    return ReliesOnConcept(layer=layer, found=tuple(found), pictures=pictures, unreadable=unreadable)


def _effects(
    shown: Mapping[str, NDArray[np.float64]],
    read: Mapping[str, NDArray[np.float64]],
    predicted: NDArray[np.int64],
    classes: NDArray[np.int64],
    spread: NDArray[np.float64],
    seed: int,
) -> dict[tuple[str, int], Concept]:
    """The effect of every concept with two readable images or more on every class."""
    if not len(classes):
        return {}  # there may be too few images to draw counterparts from
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
                vectors, at_random, gradients[predicted == target], float(spread[target]), level
            )
    return found


def _shown(subject: Subject, engine: Engine, images: ImageSet, name: str, layer: str) -> NDArray[np.float64]:
    """The layer's activations for the readable images of a concept, at most MAX_CONCEPT_IMAGES of them."""
    unlabelled = Subject.unlabelled(subject.classifier, images)
    rows = evenly_spaced(len(images), MAX_CONCEPT_IMAGES)
    seen = engine.map(_read_concept, unlabelled, rows, task=f"Reading {name}", chunk=32, layer=layer)
    return np.asarray(seen["activations"][seen["readable"]])


def _read(subject: Subject, indices: Sequence[int], batch_size: int, layer: str) -> Arrays:
    """Activations, and gradients of the lead of the predicted class."""
    pixels = subject.pixels(indices)
    targets = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    return read_layer(subject.classifier, pixels, targets, layer)._asdict()


def _read_concept(subject: Subject, indices: Sequence[int], batch_size: int, layer: str) -> Arrays:
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
    """Some images of a concept, and some that are predicted as the class on which it has the largest effect."""
    subject = recording.subject
    names = subject.classifier.class_names
    rows = np.flatnonzero(recording.predicted == names.index(first.target))[:EXAMPLES_SHOWN]
    unlabelled = Subject(subject.classifier, concept_set, np.zeros(len(concept_set), dtype=np.int64))
    return (
        _grid(unlabelled, range(len(concept_set)), f"Images of the concept {first.name!r}"),
        _grid(subject, rows.tolist(), f"Images predicted as {first.target!r}"),
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
        if len(items) == EXAMPLES_SHOWN:
            break
    return ImageGrid(title=title, items=items)
