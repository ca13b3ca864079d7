"""units.visualization_trust: do feature visualizations show what units respond to?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, Limits, estimate, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Curve, Evidence, Finding, GridItem, ImageGrid, Series, Table, Verdict
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.units import visualization_trust as method
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.visualization_trust import MIN_NATURAL, Trust, natural_images
from deeptroubles.network import LOGITS
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean, mean_share
from deeptroubles.subject import Subject

WARN_BELOW, FAIL_BELOW = 0.5, 0.3
LIMITS = Limits("1 minus the path similarity", warn_at=1 - WARN_BELOW, fail_at=1 - FAIL_BELOW)
CHANCE = 0.5
RESTARTS, SMALL = 2, 64
"""Visualizations of each class; up to this many pixels a side one of them costs milliseconds."""
EXAMPLES_SHOWN, SAMPLES = 4, 3


@dataclass(frozen=True, kw_only=True)
class VisualizationTrust:
    """How far to trust the visualizations of some classes. `trust` is None where there were too few images.

    `converged` and `dead` are the shares of visualizations that had stopped improving, and that never began to.
    """

    images: int
    classes: tuple[str, ...]
    steps: int
    converged: float
    dead: float
    trust: Trust | None
    grids: tuple[ImageGrid, ...]

    @property
    def path(self) -> Interval:
        """Mean over classes of the normalized path similarity in the last third of the layers."""
        return mean(self._judged)

    @property
    def simulation(self) -> Interval:
        """Mean over classes of how often visualizations tell strong from weak images, in the network's own features."""
        return mean_share(self.trust.simulation["network"].accuracy if self.trust else np.empty(0))

    @property
    def _judged(self) -> NDArray[np.float64]:
        late = self.trust.path.late if self.trust else np.empty(0)
        return late[~np.isnan(late)]

    @property
    def verdict(self) -> Verdict:
        """By the path similarity, unless the simulation contradicts it; see the criterion."""
        lost = Interval(1 - self.path.value, 1 - self.path.high, 1 - self.path.low)
        verdict = LIMITS.verdict(lost, self.images)
        if self.images >= MIN_IMAGES and self.simulation.high < CHANCE:
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if verdict == Verdict.PASS and self.simulation.low <= CHANCE else verdict

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        yield Finding(
            check="units.visualization_trust",
            verdict=self.verdict,
            severity=float(np.clip(1 - self.path.value, 0, 1)) if len(self._judged) else 0.0,
            claim=self._claim(),
            criterion="Path similarity is 1 if a visualization activates the last third of the layers as natural "
            "images of its class do, and 0 if it does so as images of any class do. Fails if the 95% interval of its "
            f"mean over classes lies below {FAIL_BELOW}, or if visualizations, in the network's own features, match "
            f"the less activating image more often than the more activating one. Warns if it lies below {WARN_BELOW}. "
            f"Passes if it lies at or above {FAIL_BELOW} and visualizations predict the more activating image better "
            f"than chance. Inconclusive otherwise, and with fewer than {MIN_IMAGES} images.",
            evidence=self._evidence(),
            caveats=[*few(self.images), *self._caveats()],
        )

    def _claim(self) -> str:
        if self.trust is None:
            return f"Inconclusive: needs at least {MIN_NATURAL} images, and has {self.images}."
        found = self.trust.simulation["network"]
        text = (
            f"Visualizations of {len(self.classes)} classes predict which image activates the class more in "
            f"{percent_interval(self.simulation)} of cases (natural images: {percent(found.natural.mean())}, images of "
            f"another class: {percent(float(np.nanmean(found.random)) if len(self.classes) > 1 else CHANCE)})"
        )
        if not len(self._judged):
            return text + "; no path through the network could be compared."
        near = "" if np.isinf(self.path.low) else f" (95% CI {self.path.low:.2f} to {self.path.high:.2f})"
        return text + f"; their path similarity in the last layers is {self.path.value:.2f}{near}."

    def _caveats(self) -> Iterable[str]:
        unsaid, classes = len(self.classes) - len(self._judged), len(self.classes)
        if unsaid and self.trust:
            yield (
                f"{unsaid} of {plural(classes, 'class', 'classes')} not judged: the images that activate them most "
                "are not more similar inside the network than images of different classes."
            )
        never = f", and {percent(self.dead)} never started to improve" if self.dead else ""
        yield f"{percent(self.converged)} of the visualizations had converged after {self.steps} steps{never}."
        yield "The thresholds are conventions, set on small digit classifiers; large networks were not measured."
        yield "Only visualizations of classes are judged, not those of hidden units."
        yield (
            "The network's own features favor its own visualizations, and pixels ignore patterns at other positions: "
            "compare both."
        )

    def _evidence(self) -> list[Evidence]:
        if self.trust is None:
            return []
        count, evidence = len(self.classes), list[Evidence]()
        if np.isfinite(self.path.low):
            label = "Path similarity in the last layers"
            path = estimate(label, self.path, len(self._judged), "number", higher_is_worse=False)
            evidence.append(replace(path, warn_at=WARN_BELOW, fail_at=FAIL_BELOW))
        for word, label in (("network", "in the network's own features"), ("pixels", "in pixels")):
            accuracy = mean_share(self.trust.simulation[word].accuracy)
            evidence.append(
                estimate(f"More activating image predicted, {label}", accuracy, count, higher_is_worse=False)
            )
        return [*evidence, *self.grids, _table(self.classes, self.trust), *_curve(self.trust)]


@check("units.visualization_trust")
def visualization_trust(recording: Recording, engine: Engine, *, seed: int) -> VisualizationTrust:
    """Do feature visualizations of this network show what its units respond to?

    What it asks:
        Activation maximization makes visualizations of up to ten of the classes that the network predicts on these
        images (five where the input is larger than 64 pixels), twice from different noise. Do they activate the layers
        as natural images of the class do, and do they predict which of two natural images activates the class more?

    Why it matters:
        Such visualizations are used to explain networks. Networks can be built whose predictions stay the same and
        whose visualizations show something else; and those of networks that nobody manipulated can take paths that no
        natural image takes.

    How to read it:
        Path similarity is normalized: 1 is the similarity of natural images of one class, 0 that of images of different
        classes. It usually starts near or below 0 and rises in the last layers. The table gives four numbers for each
        class: activation as a multiple of the natural maximum; how often the visualizations predict the more activating
        image, by similarity in pixels and in the network's last features, next to the result for as many natural
        images; path similarity; and agreement of the two visualizations (1: the same, 0: no more similar than those of
        different classes). Next to each visualization are the natural images that activate the class most.

    Limits:
        A visualization can take the natural path and still show only part of what activates a class. Similarity is
        computed; people may see more, or less. The thresholds lie between what nine small digit classifiers reached
        (0.61 to 0.82, three architectures, three seeds) and twelve such networks with a fooling circuit (-0.11 to
        0.20); nothing larger was measured.

    References:
        R. Geirhos et al., Don't trust your eyes: on the (un)reliability of feature visualizations, ICML 2024.

        J. Borowski et al., Exemplary natural images explain CNN activations better than state-of-the-art feature
        visualization, ICLR 2021.

        R. S. Zimmermann, D. Klindt, W. Brendel, Measuring mechanistic interpretability at scale without humans, NeurIPS
        2024.
    """
    subject = recording.subject
    small = max(subject.classifier.size) <= SMALL
    count, steps = (10, 64) if small else (5, 20)
    classes = _some_classes(recording.predicted, count, seed)
    drawn = engine.map(
        _draw, subject, classes, task="Visualizing classes", chunk=count if small else 2, steps=steps, seed=seed
    )
    logits = recording.logits[:, classes]
    names = tuple(subject.classifier.class_names[c] for c in classes)
    trust = None
    if len(logits) >= MIN_NATURAL:
        pictures = drawn["pictures"].astype(np.float32) / 255
        trust = method.visualization_trust(subject, engine, LOGITS, pictures, drawn["activations"], logits, seed=seed)
    return VisualizationTrust(
        images=len(logits),
        classes=names,
        steps=steps,
        converged=float(drawn["converged"].mean()),
        dead=float(drawn["dead"].mean()),
        trust=trust,
        grids=_grids(subject, names, drawn, logits, trust) if trust else (),
    )


def _some_classes(predicted: NDArray[np.int64], count: int, seed: int) -> list[int]:
    """Some of the predicted classes; those with enough images first, at random among equals."""
    classes, counts = np.unique(predicted, return_counts=True)
    random = np.random.default_rng(seed).random(len(classes))
    order = np.lexsort((random, -np.minimum(counts, MIN_IMAGES)))
    return sorted(int(c) for c in classes[order[:count]])


def _draw(subject: Subject, classes: Sequence[int], batch_size: int, steps: int, seed: int) -> Arrays:
    """Visualizations of classes, C x RESTARTS x channels x H x W in 8 bits; the engine's items here are classes."""
    units = [c for c in classes for _ in range(RESTARTS)]
    found = activation_maximization(subject.classifier, LOGITS, units, steps=steps, seed=seed, batch_size=batch_size)
    rows = {
        "pictures": to_bytes(found.images),
        "activations": found.activations,
        "converged": found.converged,
        "dead": found.dead,
    }
    shape = (len(classes), RESTARTS)
    return {name: value.cpu().numpy().reshape(*shape, *value.shape[1:]) for name, value in rows.items()}


def _grids(
    subject: Subject, names: Sequence[str], drawn: Mapping[str, NDArray[Any]], logits: NDArray[Any], trust: Trust
) -> tuple[ImageGrid, ...]:
    """The classes whose visualizations leave the natural path most, with the images that activate them most."""
    order = np.argsort(np.nan_to_num(trust.path.late, nan=np.inf), kind="stable")[:EXAMPLES_SHOWN]
    references = natural_images(logits).references
    grids = []
    for u in order:
        items = [
            GridItem(
                picture=picture(pixels, f"A visualization of {names[u]}"),
                caption=f"{value:.1f}",
                note=f"visualization, restart {i + 1}",
            )
            for i, (pixels, value) in enumerate(zip(drawn["pictures"][u] / 255, drawn["activations"][u], strict=True))
        ]
        images = references[u][:SAMPLES]
        for row, pixels in zip(images, subject.pixels(images.tolist()).cpu().numpy(), strict=True):
            shown = picture(pixels, f"A natural image that activates {names[u]}", int(row))
            items.append(GridItem(picture=shown, caption=f"{logits[row, u]:.1f}", note="natural"))
        grids.append(ImageGrid(title=f"{names[u]}: visualizations and natural images, with the logit", items=items))
    return tuple(grids)


def _table(names: Sequence[str], trust: Trust) -> Table:
    pixels, network = trust.simulation["pixels"], trust.simulation["network"]
    described: list[tuple[str, Literal["number", "share"], NDArray[np.float64]]] = [
        ("activation, times natural maximum", "number", trust.activation),
        ("image predicted, network", "share", network.accuracy),
        ("by natural images, network", "share", network.natural.mean(1)),
        ("image predicted, pixels", "share", pixels.accuracy),
        ("by natural images, pixels", "share", pixels.natural.mean(1)),
        ("path, last layers", "number", trust.path.late),
        ("path, all layers", "number", trust.path.mean),
        ("agreement of restarts", "number", trust.agreement["network"].relative),
    ]
    columns = [Column(name="class"), *(Column(name=name, kind=kind) for name, kind, _ in described)]
    rows: list[list[Cell]] = [[name, *(_number(values[u]) for *_, values in described)] for u, name in enumerate(names)]
    columns.insert(3, Column(name="95% CI", kind="interval"))
    for row, interval in zip(rows, network.intervals, strict=True):
        row.insert(3, [round(limit, 3) for limit in interval[1:]])
    return Table(title="How far each visualization can be trusted", columns=columns, rows=rows)


def _curve(trust: Trust) -> list[Curve]:
    """Normalized path similarity by layer, mean over classes, at the layers with values for two or more."""
    by_layer = [column[~np.isnan(column)] for column in trust.path.normalized.T]
    known = [i for i, values in enumerate(by_layer) if len(values) > 1]
    if not known:
        return []
    x = [float(i + 1) for i in known]
    intervals = [mean(by_layer[i]) for i in known]
    series = [
        Series(
            name="visualizations (mean over classes)",
            x=x,
            y=[i.value for i in intervals],
            low=[i.low for i in intervals],
            high=[i.high for i in intervals],
        ),
        Series(name="natural images of the class", x=x, y=[1.0] * len(x), reference=True),
        Series(name="images of other classes", x=x, y=[0.0] * len(x), reference=True),
    ]
    first, last = trust.path.layers[0], trust.path.layers[-1]
    return [
        Curve(
            title=f"Path similarity, layer by layer, from {first} to {last}",
            x_label="layer",
            y_label="normalized similarity",
            series=series,
        )
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
