"""units.visualization_trust."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import (
    Cell,
    Column,
    Curve,
    Estimate,
    Evidence,
    Finding,
    GridItem,
    ImageGrid,
    Series,
    Table,
    Verdict,
)
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.units import visualization_trust as method
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.visualization_trust import FEWEST, Trust, natural_images
from deeptroubles.network import LOGITS
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean, mean_share
from deeptroubles.subject import Subject

WARN_BELOW, FAIL_BELOW = 0.5, 0.3
CHANCE = 0.5
RESTARTS, SMALL = 2, 64
"""Pictures of each class; up to this many pixels a side one of them costs milliseconds."""

SHOWN, SAMPLES = 4, 3


@dataclass(frozen=True, kw_only=True)
class VisualizationTrust:
    """What is known of the pictures of some classes. `trust` is None where there were too few images to compare with.

    `converged` and `dead` are the shares of pictures that had stopped improving, and that never began to.
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
        """Mean over classes of the normalised path similarity in the last third of the layers."""
        return mean(self._judged)

    @property
    def simulation(self) -> Interval:
        """Mean over classes of how often the pictures tell strong from weak images, in the network's own features."""
        return mean_share(self.trust.simulation["network"].accuracy if self.trust else np.empty(0))

    @property
    def _judged(self) -> NDArray[np.float64]:
        late = self.trust.path.late if self.trust else np.empty(0)
        return late[~np.isnan(late)]

    @property
    def verdict(self) -> Verdict:
        """What the path says, unless the simulation speaks against it; see the criterion."""
        lost = Interval(1 - self.path.value, 1 - self.path.high, 1 - self.path.low)
        verdict = judge(lost, self.images, warn_at=1 - WARN_BELOW, fail_at=1 - FAIL_BELOW)
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
            criterion="Path similarity is 1 where a picture does in the last third of the layers what natural images "
            "of its class do, 0 where it does what images of any class do. Fails when its mean over the classes is "
            f"below {FAIL_BELOW} with 95 % confidence, or when the pictures, in the network's own features, point to "
            f"the weaker image more often than to the stronger one; warns below {WARN_BELOW}; passes when less than "
            f"{FAIL_BELOW} can be ruled out and the pictures tell strong from weak images more often than chance; "
            f"inconclusive otherwise, and below {MIN_IMAGES} images.",
            evidence=self._evidence(),
            caveats=[*few(self.images), *self._caveats()],
        )

    def _claim(self) -> str:
        if self.trust is None:
            return f"{self.images} images are too few to compare pictures of classes with; {FEWEST} are needed."
        told = self.trust.simulation["network"]
        text = (
            f"Pictures made for {len(self.classes)} classes tell which image excites the class more in "
            f"{percent_interval(self.simulation)} of the cases (natural images: {percent(told.natural.mean())}, those "
            f"of another class: {percent(float(np.nanmean(told.random)) if len(self.classes) > 1 else CHANCE)})"
        )
        if not len(self._judged):
            return text + ". No path through the network could be compared."
        near = "" if np.isinf(self.path.low) else f" ({self.path.low:.2f} to {self.path.high:.2f})"
        return text + f"; their path through the last layers is like the natural one by {self.path.value:.2f}{near}."

    def _caveats(self) -> Iterable[str]:
        unsaid, classes = len(self.classes) - len(self._judged), len(self.classes)
        if unsaid and self.trust:
            yield (
                f"{unsaid} of {classes} classes are not judged: the images that excite them most are not more alike "
                "inside the network than images of different classes."
            )
        never = f", and {percent(self.dead)} never began to" if self.dead else ""
        yield f"Of the pictures, {percent(self.converged)} had stopped improving after {self.steps} steps{never}."
        yield "The thresholds are conventions, set on small networks that read digits; large ones were not measured."
        yield "Only pictures of classes are judged, not those of inner units."
        yield (
            "The network's own features favour its own pictures, and pixels know nothing of a pattern that may stand "
            "anywhere: look at both."
        )

    def _evidence(self) -> list[Evidence]:
        if self.trust is None:
            return []
        count, evidence = len(self.classes), list[Evidence]()
        if np.isfinite(self.path.low):
            evidence.append(
                Estimate(
                    label="Path similarity in the last layers",
                    value=self.path.value,
                    low=self.path.low,
                    high=self.path.high,
                    n=len(self._judged),
                    unit="number",
                    warn_at=WARN_BELOW,
                    fail_at=FAIL_BELOW,
                    higher_is_worse=False,
                )
            )
        for word, label in (("network", "in the network's own features"), ("pixels", "in pixels")):
            value, low, high = mean_share(self.trust.simulation[word].accuracy)
            evidence.append(
                Estimate(
                    label=f"Strong image told from weak one, {label}",
                    value=value,
                    low=low,
                    high=high,
                    n=count,
                    higher_is_worse=False,
                )
            )
        return [*evidence, *self.grids, _table(self.classes, self.trust), *_curve(self.trust)]


@check("units.visualization_trust")
def visualization_trust(recording: Recording, engine: Engine, *, seed: int) -> VisualizationTrust:
    """Do visualisations of this network's units show what the units answer to?

    What it asks:
        Pictures that excite a class most are made by activation maximization, twice from different noise, for up to ten
        of the classes that the network answers on these images (five where the input is larger than 64 pixels). Do they
        do inside the network what natural images of the class do, and does one who has seen them know which of two
        natural images excites the class more?

    Why it matters:
        Such pictures are used to say what a network looks for. Networks exist that answer as ever and whose pictures
        show something else altogether; and pictures of honest networks can take paths that no natural image takes.

    How to read it:
        Path similarity is normalised: 1 is what natural images of one class have in common, 0 what images of different
        classes have. It usually starts near or below 0 and rises in the last layers. The table gives four numbers for
        each class: activation as a multiple of the natural maximum; how often the pictures tell a strong from a weak
        image, judged by likeness in pixels and in the network's last features, with what as many natural images would
        give beside it; path similarity; and agreement of the two pictures (1: the same, 0: no more alike than
        pictures of different classes). Next to each picture stand the natural images that excite the class most.

    Limits:
        A picture can take the natural path and still show only part of what a class answers to. Likeness is measured by
        a machine; people may see more, or less. The thresholds lie between what nine small networks that read digits
        reached (0.61 to 0.82, three architectures, three seeds) and twelve such networks with a fooling circuit (-0.11
        to 0.20); nothing larger was measured.

    References:
        R. Geirhos et al., Don't trust your eyes: on the (un)reliability of feature visualizations, ICML 2024.

        J. Borowski et al., Exemplary natural images explain CNN activations better than state-of-the-art feature
        visualization, ICLR 2021.

        R. S. Zimmermann, D. Klindt, W. Brendel, Measuring mechanistic interpretability at scale without humans, NeurIPS
        2024.
    """
    subject = recording.subject
    small = max(subject.classifier.size) <= SMALL
    most, steps = (10, 64) if small else (5, 20)
    classes = _some_classes(recording.predicted, most, seed)
    drawn = engine.map(
        _draw, subject, classes, task="Drawing classes", chunk=most if small else 2, steps=steps, seed=seed
    )
    logits = recording.logits[:, classes]
    names = tuple(subject.classifier.class_names[c] for c in classes)
    trust = None
    if len(logits) >= FEWEST:
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


def _some_classes(predicted: NDArray[np.int64], most: int, seed: int) -> list[int]:
    """Some of the classes that are answered; those with enough images first, at random among equals."""
    classes, counts = np.unique(predicted, return_counts=True)
    chance = np.random.default_rng(seed).random(len(classes))
    order = np.lexsort((chance, -np.minimum(counts, MIN_IMAGES)))
    return sorted(int(c) for c in classes[order[:most]])


def _draw(subject: Subject, classes: Sequence[int], batch_size: int, steps: int, seed: int) -> dict[str, NDArray[Any]]:
    """Pictures of classes, C x RESTARTS x channels x H x W in 8 bits. The engine's rows here are classes."""
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
    """The classes whose pictures leave the natural path most, beside the images that excite them most."""
    order = np.argsort(np.nan_to_num(trust.path.late, nan=np.inf), kind="stable")[:SHOWN]
    references = natural_images(logits).references
    grids = []
    for u in order:
        items = [
            GridItem(
                picture=picture(pixels, f"A picture made to excite {names[u]}"),
                caption=f"{value:.1f}",
                note=f"made, restart {i + 1}",
            )
            for i, (pixels, value) in enumerate(zip(drawn["pictures"][u] / 255, drawn["activations"][u], strict=True))
        ]
        images = references[u][:SAMPLES]
        for row, pixels in zip(images, subject.pixels(images.tolist()).cpu().numpy(), strict=True):
            shown = picture(pixels, f"A natural image that excites {names[u]}")
            items.append(GridItem(picture=shown, caption=f"{logits[row, u]:.1f}", note="natural"))
        grids.append(
            ImageGrid(title=f"{names[u]}: pictures made for it, and natural images, with the logit", items=items)
        )
    return tuple(grids)


def _table(names: Sequence[str], trust: Trust) -> Table:
    pixels, network = trust.simulation["pixels"], trust.simulation["network"]
    described: list[tuple[str, Literal["number", "share"], NDArray[np.float64]]] = [
        ("activation, times natural maximum", "number", trust.activation),
        ("told apart, network", "share", network.accuracy),
        ("by natural images, network", "share", network.natural.mean(1)),
        ("told apart, pixels", "share", pixels.accuracy),
        ("by natural images, pixels", "share", pixels.natural.mean(1)),
        ("path, last layers", "number", trust.path.late),
        ("path, all layers", "number", trust.path.mean),
        ("agreement of restarts", "number", trust.agreement["network"].relative),
    ]
    columns = [Column(name=name, kind=kind) for name, kind, _ in described]
    columns = [Column(name="class"), *columns, Column(name="told apart, network: 95 % interval", kind="interval")]
    rows: list[list[Cell]] = [
        [name, *(_number(values[u]) for *_, values in described), [round(limit, 3) for limit in interval[1:]]]
        for u, (name, interval) in enumerate(zip(names, network.intervals, strict=True))
    ]
    return Table(title="How far each picture can be believed", columns=columns, rows=rows)


def _curve(trust: Trust) -> list[Curve]:
    """Normalised path similarity by layer, mean over classes, at the layers that say something for two or more."""
    by_layer = [column[~np.isnan(column)] for column in trust.path.normalised.T]
    said = [i for i, values in enumerate(by_layer) if len(values) > 1]
    if not said:
        return []
    x = [float(i + 1) for i in said]
    intervals = [mean(by_layer[i]) for i in said]
    series = [
        Series(
            name="pictures (mean over classes)",
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
            y_label="normalised similarity",
            series=series,
        )
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 3)
