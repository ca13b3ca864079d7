"""Cue conflict, the first protocol of `reliance.texture`: the shape of one class with the texture of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from deeptroubles.checks.limits import Limits, estimate
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import UnreadableImageError
from deeptroubles.findings import Cell, Column, Evidence, GridItem, ImageGrid, Table
from deeptroubles.images import ImageSet
from deeptroubles.methods.reliance.cue_conflict import CATEGORIES, Trials, category_probabilities, find_trials
from deeptroubles.pictures import picture
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

EXAMPLES_SHOWN = 5
TRIALS = 1200
"""Trials in the published set, without those whose shape and texture are of one category."""
HUMANS = (0.959, 0.919, 0.987)
"""Shape bias of people: all trials, and the observers with the lowest and the highest."""
OBSERVERS = 10
NETWORKS = {
    "ResNet-50": (0.221, 0.61),
    "VGG-16 (Caffe)": (0.172, 0.63),
    "GoogLeNet (Caffe)": (0.312, 0.61),
    "AlexNet (Caffe)": (0.429, 0.55),
    "ResNet-50, trained on stylized ImageNet": (0.806, None),
}
"""Shape bias, and the share of trials decided by shape or texture, of the published predictions (Geirhos et al., 2019).
Torchvision's VGG-16 has 9.2%, its AlexNet 25.3%."""
RESNET50 = {"airplane": 0.0, "knife": 0.0, "bird": 0.02, "car": 0.41, "bottle": 0.56, "clock": 0.71}
"""The published shape bias of ResNet-50 for the categories in which it is lowest and highest."""
LIMITS = Limits(
    "the share of decisions by texture among those by shape or texture, in a cue conflict (with `--conflict`),",
    warn_at=0.50,
    fail_at=0.75,
    note="Published shape bias: "
    + ", ".join(f"{name} {percent(bias)}" for name, (bias, _) in {"people": HUMANS[:2], **NETWORKS}.items())
    + ".",
)


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """Predictions for images whose shape and texture are of different categories.

    Attributes:
        trials: The images.
        decision: N, the category with the highest probability; -1 where the image cannot be read.
        examples: Some of the images, with their predictions.
    """

    trials: Trials
    decision: NDArray[np.int64]
    examples: tuple[ImageGrid, ...]

    @property
    def by_shape(self) -> NDArray[np.bool_]:
        """Which decisions follow the shape."""
        return np.equal(self.decision, self.trials.shape)

    @property
    def by_texture(self) -> NDArray[np.bool_]:
        """Which decisions follow the texture."""
        return np.equal(self.decision, self.trials.texture)

    @property
    def counted(self) -> int:
        """How many decisions follow shape or texture."""
        return int((self.by_shape | self.by_texture).sum())

    @property
    def shape_bias(self) -> Interval:
        """The share of decisions by shape among those by shape or texture."""
        return wilson(int(self.by_shape.sum()), self.counted)

    @property
    def texture_share(self) -> Interval:
        """The share of decisions by texture among those by shape or texture."""
        return wilson(int(self.by_texture.sum()), self.counted)

    @property
    def readable(self) -> int:
        """How many images were readable."""
        return int((self.decision >= 0).sum())

    @property
    def published(self) -> bool:
        """Whether the categories are the published ones, so that published values are comparable."""
        return self.trials.names == tuple(CATEGORIES)

    def claim(self) -> str:
        """The shape bias, as a clause."""
        return (
            f"Shape bias is {percent_interval(self.shape_bias)} over the {self.counted} of {self.readable} "
            "cue-conflict images that are decided by shape or texture"
        )

    def caveats(self) -> list[str]:
        """What limits the result."""
        trials, unreadable = self.trials, len(self.decision) - self.readable
        counts = {
            "with shape and texture of the same class": trials.agreeing,
            "without two class names in the file name": trials.unnamed,
            "unreadable": unreadable,
        }
        left_out = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        ratio = (
            "Shape bias ignores images that are decided by neither shape nor texture. Images share shapes and "
            "textures, so the interval is somewhat too narrow."
        )
        return [ratio, *([f"Cue-conflict images left out: {left_out}."] if left_out else [])]

    def evidence(self, name: str) -> list[Evidence]:
        """The shape bias next to published ones, examples, and every category."""
        biases = [(name, self.shape_bias, self.counted)]
        if self.published:
            for network, (bias, share) in NETWORKS.items():
                if share is not None:
                    count = round(share * TRIALS)
                    biases.append((f"published: {network}", wilson(round(bias * count), count), count))
            biases.append((f"published: people (range of {OBSERVERS})", Interval(*HUMANS), OBSERVERS))
        return [
            *(
                replace(
                    estimate(f"Shape bias, {label}", bias, count, higher_is_worse=False),
                    warn_at=1 - LIMITS.warn_at,
                    fail_at=1 - LIMITS.fail_at,
                )
                for label, bias, count in biases
            ),
            self._by_category(),
            *self.examples,
        ]

    def _by_category(self) -> Table:
        shapes = np.unique(self.trials.shape[self.decision >= 0])
        known = self.published
        columns = [
            Column(name="shape"),
            Column(name="decided by shape", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="decided by shape or texture", kind="share"),
            Column(name="images", kind="number"),
            *([Column(name="published ResNet-50: decided by shape", kind="share")] if known else []),
        ]
        rows: list[list[Cell]] = []
        for category in shapes.tolist():
            at = (self.trials.shape == category) & (self.decision >= 0)
            hits, count = int(self.by_shape[at].sum()), int((self.by_shape | self.by_texture)[at].sum())
            bias, name = wilson(hits, count), self.trials.names[category]
            rows.append(
                [
                    name,
                    bias.value if count else None,
                    [bias.low, bias.high],
                    count / int(at.sum()),
                    int(at.sum()),
                    *([RESNET50.get(name)] if known else []),
                ]
            )
        rows.sort(key=lambda row: (row[1] is None, row[1]))
        return Table(title="Decisions by shape or texture, for each category of shape", columns=columns, rows=rows)


def ask_conflict(classifier: Classifier, images: ImageSet, engine: Engine) -> Conflict:
    """Show a classifier the images whose shape and texture are of different categories.

    Raises:
        ImagesError: There are none.
    """
    trials = find_trials(classifier, images)
    subject = Subject.unlabelled(classifier, images)
    seen = engine.map(
        _decide,
        subject,
        trials.rows,
        task="Predicting cue-conflict images",
        chunk=64,
        members=[list(classes) for classes in trials.members],
    )
    return Conflict(trials=trials, decision=seen["decision"], examples=_examples(subject, trials, seen["decision"]))


def _decide(subject: Subject, indices: Sequence[int], batch_size: int, members: Sequence[Sequence[int]]) -> Arrays:
    """The category with the highest probability; -1 where the image cannot be read."""
    decision = np.full(len(indices), -1, dtype=np.int64)
    readable, pixels = [], []
    for position, index in enumerate(indices):
        try:
            pixels.append(subject.pixels([index]))
            readable.append(position)
        except UnreadableImageError:
            continue
    if pixels:
        logits = logits_of(subject.classifier, torch.cat(pixels), batch_size).cpu().double().numpy()
        decision[readable] = category_probabilities(softmax(logits, axis=1), members).argmax(1)
    return {"decision": decision}


def _examples(subject: Subject, trials: Trials, decision: NDArray[np.int64]) -> tuple[ImageGrid, ...]:
    """Some trials decided by texture and some by shape."""
    grids = []
    for what, cue in (("texture", trials.texture), ("shape", trials.shape)):
        chosen = np.flatnonzero(decision == cue)
        picked = chosen[evenly_spaced(len(chosen), EXAMPLES_SHOWN)]
        items = []
        for i in picked.tolist():
            shape, texture, decided = (trials.names[int(c[i])] for c in (trials.shape, trials.texture, decision))
            shown = picture(
                subject.pixels([int(trials.rows[i])])[0].cpu().numpy(),
                f"The shape of {shape} with the texture of {texture}, predicted as {decided}",
            )
            items.append(GridItem(picture=shown, caption=decided, note=f"shape {shape}, texture {texture}"))
        if items:
            grids.append(ImageGrid(title=f"Decided by {what}", items=items))
    return tuple(grids)
