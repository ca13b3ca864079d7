"""units.dead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Finding, Table, Verdict
from deeptroubles.methods.units.filter_statistics import ALIKE
from deeptroubles.methods.units.index_units import LayerIndex, index_units
from deeptroubles.network import open_network
from deeptroubles.network.unit_layers import is_rectified, unit_layers
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.05, 0.20
MOST_IMAGES = 256
"""So many images are looked at; a unit that answers to none of them answers to about 1 % of such images at most."""
SILENCE = 60
"""On so many images the silence of a unit says something: it answers to less than 5 % of images like these."""
ANSWERS = 30
"""A unit that answered on fewer images than this is not called a repetition of another."""


@dataclass(frozen=True, kw_only=True)
class LayerSilence:
    """The units of one layer that never answered, that answered on one image only, that repeat another."""

    layer: str
    units: int
    dead: int
    once: int
    repeats: int

    @property
    def share(self) -> Interval:
        """The share of dead units.

        More images can only wake units, so what was seen is the upper end. The lower end leaves out as many units as
        answered on one image only: so many are expected to wake on as many images again (the first term of Good and
        Toulmin's series).
        """
        return Interval(self.dead / self.units, max(0, self.dead - self.once) / self.units, self.dead / self.units)


@dataclass(frozen=True, kw_only=True)
class Dead:
    """Dead and repeated units of every rectified layer."""

    images: int
    layers: tuple[LayerSilence, ...]

    @property
    def bound(self) -> float:
        """On which share of images a unit that answered on none may still answer: 95 %, exact, about 3 / images."""
        return float(1 - 0.05 ** (1 / self.images))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.layers:
            claim = "Not asked: it needs layers that end in a rectifier (ReLU, ReLU6), and there are none."
            yield Finding(check="units.dead", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        worst = max(self.layers, key=lambda layer: (layer.share.low, layer.share.value))
        units = sum(layer.units for layer in self.layers)
        dead = sum(layer.dead for layer in self.layers)
        repeats = sum(layer.repeats for layer in self.layers)
        yield Finding(
            check="units.dead",
            verdict=self._verdict(worst),
            severity=worst.share.value,
            claim=f"{dead} of {units} units in {len(self.layers)} layers answer to none of {self.images} images, and "
            f"{repeats} repeat another; in the worst layer, {worst.layer}, {percent_interval(worst.share)} of the "
            f"{worst.units} units are dead.",
            criterion=criterion("the share of dead units in the worst layer", warn_at=WARN_AT, fail_at=FAIL_AT)
            + f" Warns, too, when more than {percent(WARN_AT)} of the units of a layer repeat another. Below {SILENCE} "
            "images it does not fail or warn. The thresholds are conventions.",
            evidence=[
                Estimate(
                    label=f"Dead units of {worst.layer}",
                    value=worst.share.value,
                    low=worst.share.low,
                    high=worst.share.high,
                    n=self.images,
                    warn_at=WARN_AT,
                    fail_at=FAIL_AT,
                ),
                self._table(),
            ],
            caveats=[
                *few(self.images),
                (
                    f"A unit that answers to none of {self.images} images may still answer to up to "
                    f"{percent(self.bound)} of images like these (95 %)."
                ),
                (
                    "Units can be silent because these images lack what they answer to: images unlike those of the "
                    "training, or of few classes, make more units look dead than are."
                ),
                f"Whether a unit repeats another is asked of units that answered on {ANSWERS} images or more.",
            ],
        )

    def _verdict(self, worst: LayerSilence) -> Verdict:
        verdict = judge(worst.share, self.images, warn_at=WARN_AT, fail_at=FAIL_AT)
        if verdict == Verdict.PASS and any(layer.repeats > WARN_AT * layer.units for layer in self.layers):
            verdict = Verdict.WARN
        too_few = self.images < SILENCE and verdict in {Verdict.FAIL, Verdict.WARN}
        return Verdict.INCONCLUSIVE if too_few else verdict

    def _table(self) -> Table:
        columns = [
            Column(name="layer"),
            Column(name="units", kind="number"),
            Column(name="dead", kind="number"),
            Column(name="share dead", kind="share"),
            Column(name="answered on one image only", kind="number"),
            Column(name="repeat another", kind="number"),
        ]
        rows: list[list[Cell]] = [
            [layer.layer, layer.units, layer.dead, round(layer.share.value, 4), layer.once, layer.repeats]
            for layer in self.layers
        ]
        return Table(title="Units of every layer that ends in a rectifier", columns=columns, rows=rows)


@check("units.dead")
def dead(recording: Recording, engine: Engine, *, seed: int) -> Dead:
    """Are there units that never answer, or that repeat another?

    What it asks:
        Up to 256 images are shown to the network. Which channels of the layers that end in a rectifier are 0 at every
        position of every image, and which give the same answers as an earlier one of their layer?

    Why it matters:
        A dead unit is computed and does nothing; during training it gets no gradient and cannot come back. Many of them
        point to a learning rate that was too high, to wrong preprocessing, or to a layer that is wider than its task.
        Units that repeat each other are spare weight, too.

    How to read it:
        The estimate is the share of dead units in the worst layer. Its upper end is what was seen, since more images
        can only wake units; its lower end leaves out as many units as answered on one image only, which is about how
        many would wake on as many images again. The table lists all layers, in the order in which they are computed.

    Limits:
        A unit that is silent here may answer to other images; the caveat says how rare these can be. Units of layers
        without a rectifier are never exactly silent and not looked at. A unit counts as repeated when its strongest
        answers to the images correlate by more than 0.99 with another's; what it does elsewhere may differ.

    References:
        L. Lu et al., Dying ReLU and initialization: theory and numerical examples, Communications in Computational
        Physics 2020.

        I. J. Good, G. H. Toulmin, The number of new species, and the increase in population coverage, when a sample is
        increased, Biometrika 1956.
    """
    subject, count = recording.subject, len(recording.logits)
    if count > MOST_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(count, MOST_IMAGES, replace=False))
        subject = Subject(subject.classifier, subject.images.subset(rows), subject.targets[rows])
    network = open_network(subject.classifier)
    names = [layer.name for layer in unit_layers(network) if is_rectified(network, layer.name)]
    index = index_units(subject, engine, names, samples=1, keep=MOST_IMAGES, seed=seed) if names else None
    layers = tuple(_silence(layer) for layer in index.layers.values()) if index else ()
    return Dead(images=min(count, MOST_IMAGES), layers=layers)


def _silence(layer: LayerIndex) -> LayerSilence:
    answered = np.rint(layer.active * layer.count)
    return LayerSilence(
        layer=layer.layer,
        units=len(answered),
        dead=int((answered == 0).sum()),
        once=int((answered == 1).sum()),
        repeats=_repeats(layer.values[:, answered >= ANSWERS]),
    )


def _repeats(values: NDArray[np.float32]) -> int:
    """How many units answer like an earlier one, from their activations (images x units)."""
    values = values[:, np.ptp(values, axis=0) > 0]
    if values.shape[1] < 2:
        return 0
    return int((np.triu(np.corrcoef(values.T), 1) > ALIKE).any(0).sum())
