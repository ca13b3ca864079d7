"""reliance.clusters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.errors import ModelError
from deeptroubles.findings import (
    Cell,
    Column,
    Curve,
    Estimate,
    Evidence,
    Finding,
    Heatmap,
    Heatmaps,
    Series,
    Table,
    Verdict,
)
from deeptroubles.methods.attribution.lrp import lrp
from deeptroubles.methods.clustering.spray import (
    BOX,
    SIDE,
    SMALLEST,
    Clusters,
    cluster_heatmaps,
    evidence_at,
    place_of,
    shrunk,
    small_heatmaps,
)
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.10, 0.30
HALF = 0.5
"""An image counts when so much of what speaks for its class lies at the place."""

MOST_CLASSES, MOST_A_CLASS = 12, 60
POWER = (
    "Pictures to look at, no detector: over 41 small networks the eigengap told those that rely on a cue from others "
    "with an area under the ROC curve of 0.48 (a coin: 0.5), the Fisher score with 0.46."
)
"""What was measured, so that nobody takes this for a detector."""
SHOWN_CLUSTERS, SHOWN_MEMBERS, SHOWN_CURVES = 4, 3, 6


@dataclass(frozen=True, kw_only=True)
class ClassClusters:
    """The heatmaps of the images that are answered with one class.

    Attributes:
        name: The class.
        clusters: How the heatmaps fall into groups.
        suspect: The cluster with the place below.
        place: First row and column of the square at which most images have half of their evidence.
        looking: How many images do.
    """

    name: str
    clusters: Clusters
    suspect: int
    place: tuple[int, int]
    looking: int

    @property
    def images(self) -> int:
        """How many heatmaps there are."""
        return len(self.clusters.group)

    def share(self, level: float) -> Interval:
        """The share of the images that have half of their evidence at the place."""
        return wilson(self.looking, self.images, level)


@dataclass(frozen=True, kw_only=True)
class ReliesOnClusters:
    """The clusters of every class, the one with the most suspicious place first, and pictures of that one.

    Attributes:
        classes: Per class.
        masked: Whether evidence on the objects was left out, by their masks.
        pictures: Of the first class: the clusters' mean maps, and members of them.
        impossible: Why it could not be asked, if it could not.
    """

    classes: tuple[ClassClusters, ...]
    masked: bool
    pictures: tuple[Heatmaps, ...]
    impossible: str = ""

    @property
    def level(self) -> float:
        """Of each class's interval, so that all of them hold together with 95 %."""
        return 1 - 0.05 / max(1, len(self.classes))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        where = "off the object" if self.masked else "at the edge of the image"
        share = self.classes[0].share(self.level) if self.classes else Interval(float("nan"), 0.0, 1.0)
        count = min((c.images for c in self.classes), default=0)
        verdict = judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT)
        yield Finding(
            check="reliance.clusters",
            verdict=verdict,
            severity=share.value if self.classes else 0.0,
            claim=self._claim(verdict, where),
            criterion=criterion(
                f"the share of a class's images with half of their evidence at one fixed place {where} (a square of "
                f"{percent((BOX / SIDE) ** 2)} of the image)",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            + " The thresholds are conventions. Neither eigengap nor Fisher score is judged.",
            evidence=self._evidence(where) if self.classes else (),
            caveats=[
                *few(count),
                POWER,
                "A pass says only that nothing was seen at one fixed place, which is chosen on the images judged.",
                *([] if self.masked else ["An object that always lies at the edge looks the same; masks would tell."]),
            ],
        )

    def _claim(self, verdict: Verdict, where: str) -> str:
        if self.impossible:
            return f"It could not be asked, so 0 heatmaps were drawn: {self.impossible}"
        if not self.classes:
            return f"Nothing can be said: no class is the answer to {SMALLEST} or more images."
        worst = self.classes[0]
        share, found = worst.share(self.level), worst.clusters
        lead = "" if verdict in {Verdict.FAIL, Verdict.WARN} else "No class certainly looks at one fixed place; most: "
        groups = f"{found.count} cluster" + ("s" if found.count > 1 else "")
        return (
            f"{lead}{percent_interval(share)} of the images answered {worst.name!r} have half of their evidence at "
            f"{_words(worst.place)}, {where}. Its heatmaps fall into {groups} (eigengap {found.gap:.2f})."
        )

    def _evidence(self, where: str) -> list[Evidence]:
        share = self.classes[0].share(self.level)
        columns = [
            Column(name="class"),
            Column(name="images", kind="number"),
            Column(name="clusters", kind="number"),
            Column(name="eigengap", kind="number"),
            Column(name="Fisher", kind="number"),
            Column(name="place"),
            Column(name="look", kind="share"),
            Column(name="interval", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        for each in self.classes:
            value, low, high = each.share(self.level)
            place = _words(each.place).removeprefix("the ")
            rows.append(
                [
                    each.name,
                    each.images,
                    each.clusters.count,
                    round(each.clusters.gap, 3),
                    round(max(each.clusters.fisher), 2),
                    place,
                    value,
                    [low, high],
                ]
            )
        series = [
            Series(
                name=each.name,
                x=list(range(1, len(each.clusters.eigenvalues) + 1)),
                y=each.clusters.eigenvalues.round(4).tolist(),
            )
            for each in self.classes[:SHOWN_CURVES]
        ]
        return [
            Estimate(
                label=f"Images of {self.classes[0].name!r} that look at one fixed place {where}",
                value=share.value,
                low=share.low,
                high=share.high,
                n=self.classes[0].images,
                level=self.level,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.pictures,
            Table(title="Clusters by class, and how many images look at one place", columns=columns, rows=rows),
            Curve(
                title="Eigenvalues of each class: a wide gap after the k-th says that there are k clusters",
                x_label="eigenvalue, from the smallest",
                y_label="of the normalised Laplacian",
                series=series,
            ),
        ]


@check("reliance.clusters")
def clusters(recording: Recording, engine: Engine, *, seed: int) -> ReliesOnClusters:
    """Do heatmaps of a class fall into groups, and does one of them look at a fixed place?

    What it asks:
        For up to 60 images of each of the (up to 12) most frequent answers, a heatmap says which pixels speak for the
        answer (layer-wise relevance propagation). The heatmaps of a class are clustered. Is there a cluster whose
        evidence lies at one fixed place, where the object is not?

    Why it matters:
        Horses that were recognised by a photographer's tag at the bottom left were found in this way: their heatmaps
        are alike, and unlike those of other horses.

    How to read it:
        Look at the mean maps of the clusters, and at members of each: a cluster that lights up the same corner in every
        picture is a reason to look further, with `reliance.shortcut` and `reliance.cue`. The number of clusters is
        where the eigenvalues have their widest gap. The Fisher score says how far a cluster lies from the others; it
        orders clusters, and is no test. What is judged is only the share of a class's images that have half of their
        evidence in one square of a tenth of the image. Where there are masks, evidence on the object does not count;
        without masks only squares at the edge of the image count.

    Limits:
        It is no detector. Measured on 41 small networks of the planted benchmark, of which 20 rely on a cue (patch,
        tag, frame, background, inner texture, signature, position): the area under the ROC curve was 0.48 for the
        eigengap and 0.46 for the Fisher score, where a coin has 0.5. The fixed place had 0.63 with masks and 0.57
        without; what is judged failed 3 of these 20 (patches and tags that decide nearly everything) and none of the
        21 others. These networks were looked at when the place was defined. A cue that lies anywhere, everywhere, or
        on the object is not seen; neither is what heatmaps do not show.

    References:
        S. Lapuschkin et al., Unmasking Clever Hans predictors and assessing what machines really learn, Nature
        Communications 2019.

        C. Anders et al., Finding and removing Clever Hans: using explanation methods to debug and improve deep models,
        Information Fusion 2022.

        J. Adebayo et al., Post hoc explanations may be ineffective for detecting unknown spurious correlation, ICLR
        2022.
    """
    chosen = _frequent(recording.predicted)
    masked = bool(chosen) and np.isin(np.concatenate(list(chosen.values())), recording.masked).all()
    if not chosen:
        return ReliesOnClusters(classes=(), masked=False, pictures=())
    try:
        found = {
            target: engine.map(
                _heatmaps,
                recording.subject,
                rows,
                task="Clustering heatmaps",
                chunk=16,
                target=target,
                masked=bool(masked),
            )
            for target, rows in chosen.items()
        }
    except ModelError as error:
        return ReliesOnClusters(classes=(), masked=False, pictures=(), impossible=str(error))
    names = recording.subject.classifier.class_names
    classes = {}
    for target, arrays in found.items():
        classes[target] = _look(names[target], arrays["map"], arrays["off_object"], masked=bool(masked), seed=seed)
    order = sorted(classes, key=lambda target: -classes[target].looking / classes[target].images)
    first = order[0]
    return ReliesOnClusters(
        classes=tuple(classes[target] for target in order),
        masked=bool(masked),
        pictures=_pictures(recording.subject, chosen[first], found[first]["map"], classes[first]),
    )


def _frequent(predicted: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Rows of the most frequent answers, evenly spread over all rows with that answer."""
    answers, counts = np.unique(predicted, return_counts=True)
    order = [
        int(i) for i in np.argsort(-counts, kind="stable")[:MOST_CLASSES] if counts[i] >= max(SMALLEST, MIN_IMAGES)
    ]
    chosen = {}
    for index in order:
        rows = np.flatnonzero(predicted == answers[index])
        keep = np.linspace(0, len(rows) - 1, min(len(rows), MOST_A_CLASS)).astype(np.int64)
        chosen[int(answers[index])] = rows[keep]
    return chosen


def _heatmaps(
    subject: Subject, indices: Sequence[int], batch_size: int, target: int, *, masked: bool
) -> dict[str, NDArray[Any]]:
    """Small heatmaps for a class, and which share of what is positive lies where (off the objects, if masked)."""
    pixels = subject.pixels(indices)
    maps = small_heatmaps(lrp(subject.classifier, pixels, target))
    evidence = np.maximum(maps, 0)
    total = evidence.sum((1, 2), keepdims=True)
    evidence /= np.where(total > 0, total, 1)
    if masked:
        evidence *= 1 - shrunk(subject.masks(indices))
    return {"map": maps, "off_object": evidence}


def _look(
    name: str, maps: NDArray[np.float64], off_object: NDArray[np.float64], *, masked: bool, seed: int
) -> ClassClusters:
    """Cluster the heatmaps of a class, and find the place that most of its images look at, starting from a cluster."""
    found = cluster_heatmaps(maps, seed)
    places = [place_of(off_object[found.group == i], at_edge=not masked) for i in range(found.count)]
    looking = [int((evidence_at(off_object, place) >= HALF).sum()) for place in places]
    suspect = int(np.argmax(looking))
    return ClassClusters(name=name, clusters=found, suspect=suspect, place=places[suspect], looking=looking[suspect])


def _pictures(
    subject: Subject, rows: NDArray[np.int64], maps: NDArray[np.float64], found: ClassClusters
) -> tuple[Heatmaps, ...]:
    """The mean maps of a class's clusters, the suspect first, and those members that are most like their cluster."""
    others = [i for i in range(found.clusters.count) if i != found.suspect]
    means, members = [], []
    for number, cluster in enumerate([found.suspect, *others][:SHOWN_CLUSTERS], start=1):
        inside = np.flatnonzero(found.clusters.group == cluster)
        mean = maps[inside].mean(0)
        likeness = (maps[inside] * mean).sum((1, 2)) / np.maximum(np.linalg.norm(maps[inside], axis=(1, 2)), 1e-12)
        typical = inside[np.argsort(-likeness, kind="stable")[:SHOWN_MEMBERS]]
        shown = subject.pixels(rows[inside].tolist()).mean(0).cpu().numpy()
        text = f"cluster {number}: {len(inside)} image" + ("s" if len(inside) > 1 else "")
        means.append(_heatmap(mean, shown, text, f"Mean heatmap of {text} over their mean image"))
        for row in typical:
            pixels = subject.pixels([int(rows[row])])[0].cpu().numpy()
            path = str(subject.images.table["path"].iloc[rows[row]])
            members.append(_heatmap(maps[row], pixels, f"cluster {number}: {path}", f"Heatmap of {path}"))
    return (
        _on_one_scale(f"Clusters of heatmaps of {found.name!r}: the mean of each over its mean image", means),
        _on_one_scale(f"Images of {found.name!r} that are most like their cluster", members),
    )


def _heatmap(values: NDArray[np.float64], pixels: NDArray[Any], caption: str, alt: str) -> Heatmap:
    return Heatmap(values=(100 * values).round(3).tolist(), caption=caption, alt=alt, picture=picture(pixels, alt))


def _on_one_scale(title: str, items: Sequence[Heatmap]) -> Heatmaps:
    limit = float(np.quantile(np.abs(np.array([item.values for item in items], dtype=np.float64)), 0.995)) or 1.0
    return Heatmaps(
        title=title,
        items=items,
        low=-limit,
        high=limit,
        diverging=True,
        scale_label="relevance, per cent of the whole map",
    )


def _words(place: tuple[int, int]) -> str:
    """A place in words, e.g. 'the top left'."""
    row, column = ((start + BOX / 2) / SIDE for start in place)
    vertical = "top" if row < 1 / 3 else "bottom" if row > 2 / 3 else ""
    horizontal = "left" if column < 1 / 3 else "right" if column > 2 / 3 else ""
    return " ".join(word for word in ("the", vertical, horizontal) if word) if vertical or horizontal else "the middle"
