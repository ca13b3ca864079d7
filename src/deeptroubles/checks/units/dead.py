"""units.dead: are there dead or duplicate units?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits, estimate, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Finding, Table, Verdict
from deeptroubles.methods.units.filter_statistics import MIN_CORRELATION
from deeptroubles.methods.units.index_units import LayerIndex, index_units
from deeptroubles.network import is_rectified, open_network, unit_layers
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval

MAX_IMAGES = 256
"""A unit that is inactive on this many images is active on about 1% of such images at most."""
MIN_JUDGED = 60
"""Fewer images do not fail or warn: a unit that is inactive on them may be active on more than 5% of such images."""
MIN_ACTIVE = 30
"""A unit that is active on fewer images is not called a duplicate of another."""
WARN_AT = 0.05
_Z = 1.96
LIMITS = Limits(
    "the share of dead units in the worst layer",
    warn_at=WARN_AT,
    fail_at=0.20,
    note=f"Also warns if the 95% interval of the share of duplicates in a layer lies above {percent(WARN_AT)}. With "
    f"fewer than {MIN_JUDGED} images it neither fails nor warns. The thresholds are conventions.",
)


@dataclass(frozen=True, kw_only=True)
class LayerUnits:
    """The units of one layer: how many are dead, active on one image only, and duplicates of another.

    `proven` counts the duplicates whose correlation is above the threshold with its whole 95% interval.
    """

    layer: str
    units: int
    dead: int
    once: int
    duplicates: int
    proven: int

    @property
    def share(self) -> Interval:
        """The share of dead units.

        More images can only make a dead unit active, so the observed share is the upper end. The lower end leaves out
        as many units as are active on one image only: about this many would become active on as many images again (the
        first term of Good and Toulmin's series).
        """
        return Interval(self.dead / self.units, max(0, self.dead - self.once) / self.units, self.dead / self.units)

    @property
    def repeated(self) -> Interval:
        """The share of duplicates; more images can only tell units apart, so the observed share is the upper end."""
        return Interval(self.duplicates / self.units, self.proven / self.units, self.duplicates / self.units)


@dataclass(frozen=True, kw_only=True)
class Dead:
    """Dead and duplicate units of every layer that ends in a rectifier (ReLU)."""

    images: int
    layers: tuple[LayerUnits, ...]

    @property
    def bound(self) -> float:
        """The share of images on which a dead unit may still be active: 95%, exact, about 3 / images."""
        return float(1 - 0.05 ** (1 / self.images))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.layers:
            claim = "Skipped: use a model with layers that end in a rectifier (ReLU, ReLU6)."
            yield Finding(check="units.dead", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        verdict = LIMITS.verdict(self._worst.share, self.images)
        by_duplicates = verdict == Verdict.PASS and self._most_repeated.repeated.low > WARN_AT
        verdict = Verdict.WARN if by_duplicates else verdict
        if self.images < MIN_JUDGED and verdict in {Verdict.FAIL, Verdict.WARN}:
            verdict = Verdict.INCONCLUSIVE
        yield Finding(
            check="units.dead",
            verdict=verdict,
            severity=self._most_repeated.repeated.value if by_duplicates else self._worst.share.value,
            claim=self._about_duplicates() if by_duplicates else self._about_dead(),
            criterion=LIMITS.criterion,
            evidence=[self._estimate(by_duplicates=by_duplicates), self._table()],
            caveats=[
                *few(self.images),
                (
                    f"A unit that is inactive on {plural(self.images, 'image')} may still be active on up to "
                    f"{percent(self.bound)} of such images (95% confidence)."
                ),
                (
                    "Units can be inactive because these images lack what activates them: images of few classes, or "
                    "unlike the training images, make more units look dead than are."
                ),
                f"Duplicates are only searched among units that are active on {MIN_ACTIVE} images or more.",
            ],
        )

    @property
    def _worst(self) -> LayerUnits:
        """The layer with the largest share of dead units."""
        return max(self.layers, key=lambda layer: (layer.share.low, layer.share.value))

    @property
    def _most_repeated(self) -> LayerUnits:
        """The layer with the largest share of duplicates."""
        return max(self.layers, key=lambda layer: (layer.repeated.low, layer.repeated.value))

    def _about_dead(self) -> str:
        worst, units = self._worst, sum(layer.units for layer in self.layers)
        dead, duplicates = (sum(getattr(layer, kind) for layer in self.layers) for kind in ("dead", "duplicates"))
        return (
            f"{dead} of {units} units in {plural(len(self.layers), 'layer')} are inactive on all "
            f"{plural(self.images, 'image')} and {duplicates} are duplicates; in the worst layer ({worst.layer}), "
            f"{percent_interval(worst.share)} of {plural(worst.units, 'unit')} are dead."
        )

    def _about_duplicates(self) -> str:
        worst = self._most_repeated
        return (
            f"In layer {worst.layer}, {percent_interval(worst.repeated)} of {plural(worst.units, 'unit')} duplicate "
            f"another unit of the layer on {plural(self.images, 'image')}."
        )

    def _estimate(self, *, by_duplicates: bool) -> Estimate:
        """The quantity that the verdict is about."""
        if not by_duplicates:
            return LIMITS.estimate(f"Dead units of {self._worst.layer}", self._worst.share, self.images)
        label = f"Duplicate units of {self._most_repeated.layer}"
        return replace(estimate(label, self._most_repeated.repeated, self.images), warn_at=WARN_AT)

    def _table(self) -> Table:
        columns = [
            Column(name="layer"),
            Column(name="units", kind="number"),
            Column(name="dead", kind="number"),
            Column(name="dead share", kind="share"),
            Column(name="active on one image only", kind="number"),
            Column(name="duplicates", kind="number"),
        ]
        rows: list[list[Cell]] = [
            [layer.layer, layer.units, layer.dead, round(layer.share.value, 4), layer.once, layer.duplicates]
            for layer in self.layers
        ]
        return Table(title="Units of every layer that ends in a rectifier (ReLU)", columns=columns, rows=rows)


@check("units.dead")
def dead(recording: Recording, engine: Engine, *, seed: int) -> Dead:
    """Are there dead or duplicate units?

    What it asks:
        The network sees up to 256 images. Which channels of the layers that end in a rectifier (ReLU) are 0 at every
        position of every image, and which have the same activations as an earlier one of their layer?

    Why it matters:
        A dead unit costs computation and has no effect; during training it gets no gradient and cannot recover. Many of
        them indicate a learning rate that was too high, wrong preprocessing, or a layer that is wider than necessary.
        Duplicate units are wasted too.

    How to read it:
        The estimate is the share of dead units in the worst layer. Its upper end is the observed share, since more
        images can only make a dead unit active; its lower end leaves out as many units as are active on one image only,
        about as many as would become active on as many images again. The lower end of the share of duplicates leaves
        out those whose correlation may be lower. The table lists all layers in order.

    Limits:
        A unit that is inactive here may be active on other images; the caveat says how rare these can be. Units of
        layers without a rectifier are never exactly 0 and not tested. A unit counts as a duplicate when its strongest
        activations correlate by more than 0.99 with another's; elsewhere it may differ.

    References:
        L. Lu et al., Dying ReLU and initialization: theory and numerical examples, Communications in Computational
        Physics 2020.

        I. J. Good, G. H. Toulmin, The number of new species, and the increase in population coverage, when a sample is
        increased, Biometrika 1956.
    """
    subject, count = recording.subject, len(recording.logits)
    if count > MAX_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(count, MAX_IMAGES, replace=False))
        subject = subject.subset(rows)
    network = open_network(subject.classifier)
    names = [layer.name for layer in unit_layers(network) if is_rectified(network, layer.name)]
    index = index_units(subject, engine, names, samples=1, keep=MAX_IMAGES, seed=seed) if names else None
    layers = tuple(_layer_units(layer) for layer in index.layers.values()) if index else ()
    return Dead(images=min(count, MAX_IMAGES), layers=layers)


def _layer_units(layer: LayerIndex) -> LayerUnits:
    active = np.rint(layer.active * layer.count)
    highest = _highest_correlations(layer.values[:, active >= MIN_ACTIVE])
    return LayerUnits(
        layer=layer.layer,
        units=len(active),
        dead=int((active == 0).sum()),
        once=int((active == 1).sum()),
        duplicates=int((highest > MIN_CORRELATION).sum()),
        proven=int((_lower_end(highest, len(layer.values)) > MIN_CORRELATION).sum()),
    )


def _highest_correlations(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The highest correlation of each unit with an earlier one, from their activations (images x units)."""
    values = values[:, np.ptp(values, axis=0) > 0]
    if values.shape[1] < 2:
        return np.zeros(0)
    return np.asarray(np.triu(np.corrcoef(values.T), 1).max(0), dtype=np.float64)


def _lower_end(correlation: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The lower end of the 95% interval of correlations over a number of images (Fisher's z)."""
    z = np.arctanh(np.minimum(correlation, 1 - 1e-12))
    return np.asarray(np.tanh(z - _Z / np.sqrt(max(count - 3, 1))), dtype=np.float64)
