"""reliance.clusters: do the heatmaps of a class form clusters, one of them at a fixed region?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ModelError
from deeptroubles.findings import Cell, Column, Curve, Evidence, Finding, Heatmap, Heatmaps, Series, Table, Verdict
from deeptroubles.methods.attribution.lrp import lrp
from deeptroubles.methods.clustering.spray import (
    BOX,
    MIN_HEATMAPS,
    SIDE,
    Clusters,
    cluster_heatmaps,
    evidence_at,
    place_of,
    shrunk,
    small_heatmaps,
)
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import PIXELS_WITH_GRADIENT, Subject, images_at_once

HALF = 0.5
"""An image counts when this share of its positive evidence lies in the region."""
MAX_CLASSES, MAX_PER_CLASS = 12, 60
POWER = (
    "Use the pictures to explore, not to detect: on 41 small networks the AUROC for telling networks that rely on a "
    "cue from others was 0.48 for the eigengap and 0.46 for the Fisher score (chance is 0.5)."
)
"""The measured power, so that nobody takes this for a detector."""
CLUSTERS_SHOWN, MEMBERS_SHOWN, CURVES_SHOWN = 4, 3, 6


def limits(where: str) -> Limits:
    """What is judged, for regions that lie `where`."""
    region = f"one fixed square ({percent((BOX / SIDE) ** 2)} of the image) {where}"
    note = "The thresholds are conventions. Eigengap and Fisher score are not judged."
    return Limits(f"the share of a class's images with half of their evidence in {region}", 0.10, 0.30, note)


@dataclass(frozen=True, kw_only=True)
class ClassClusters:
    """The heatmaps of the images predicted as one class.

    Attributes:
        name: The class.
        clusters: The clusters of heatmaps.
        suspect: The cluster whose region most images share.
        region: First row and column of the square in which most images have half of their evidence.
        sharing: How many images do.
    """

    name: str
    clusters: Clusters
    suspect: int
    region: tuple[int, int]
    sharing: int

    @property
    def images(self) -> int:
        """How many heatmaps there are."""
        return len(self.clusters.group)

    def share(self, level: float) -> Interval:
        """The share of the images that have half of their evidence in the region."""
        return wilson(self.sharing, self.images, level)


@dataclass(frozen=True, kw_only=True)
class ReliesOnClusters:
    """The clusters of every class, the one whose region the largest share of images have in common first.

    Attributes:
        classes: One entry per class.
        masked: Whether evidence on the objects was ignored, by their masks.
        pictures: The first class's clusters: their mean maps, and members of them.
        impossible: Why there are no heatmaps, if there are none.
    """

    classes: tuple[ClassClusters, ...]
    masked: bool
    pictures: tuple[Heatmaps, ...]
    impossible: str = ""

    @property
    def level(self) -> float:
        """The level of each class's interval, so that all of them hold together at 95%."""
        return 1 - 0.05 / max(1, len(self.classes))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        where = "off the object" if self.masked else "at the edge of the image"
        share = self.classes[0].share(self.level) if self.classes else Interval(float("nan"), 0.0, 1.0)
        count = min((c.images for c in self.classes), default=0)
        judged = limits(where)
        verdict = judged.verdict(share, count)
        yield Finding(
            check="reliance.clusters",
            verdict=verdict,
            severity=share.value if self.classes else 0.0,
            claim=self._claim(verdict, where),
            criterion=judged.criterion,
            evidence=self._evidence(where) if self.classes else (),
            caveats=[
                *few(count),
                POWER,
                "A pass only means that no fixed region stood out. The region is chosen on the images that are judged.",
                *(
                    []
                    if self.masked
                    else ["An object that is always at the edge looks like a cue there; masks would separate the two."]
                ),
            ],
        )

    def _claim(self, verdict: Verdict, where: str) -> str:
        if self.impossible:
            return f"Inconclusive: 0 heatmaps were computed. {self.impossible}"
        if not self.classes:
            return f"Inconclusive: no class is predicted for {MIN_HEATMAPS} or more images."
        worst = self.classes[0]
        share, found = worst.share(self.level), worst.clusters
        clear = verdict in {Verdict.FAIL, Verdict.WARN}
        lead = "" if clear else "No class clearly relies on one fixed image region; the strongest case: "
        return (
            f"{lead}{percent_interval(share)} of the images predicted as {worst.name!r} have half of their evidence at "
            f"{_words(worst.region)}, {where} ({plural(found.count, 'cluster')}, eigengap {found.gap:.2f})."
        )

    def _evidence(self, where: str) -> list[Evidence]:
        share = self.classes[0].share(self.level)
        label = f"Images of {self.classes[0].name!r} with half of their evidence in one fixed region {where}"
        columns = [
            Column(name="class"),
            Column(name="images", kind="number"),
            Column(name="clusters", kind="number"),
            Column(name="eigengap", kind="number"),
            Column(name="Fisher score", kind="number"),
            Column(name="region"),
            Column(name="images with half of their evidence there", kind="share"),
            Column(name="95% CI (all together)", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        for each in self.classes:
            value, low, high = each.share(self.level)
            region = _words(each.region).removeprefix("the ")
            rows.append(
                [
                    each.name,
                    each.images,
                    each.clusters.count,
                    round(each.clusters.gap, 3),
                    round(max(each.clusters.fisher), 2),
                    region,
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
            for each in self.classes[:CURVES_SHOWN]
        ]
        return [
            replace(limits(where).estimate(label, share, self.classes[0].images), level=self.level),
            *self.pictures,
            Table(title="Clusters by class, and the region that most images share", columns=columns, rows=rows),
            Curve(
                title="Eigenvalues of each class: a wide gap after the k-th suggests k clusters",
                x_label="eigenvalue, smallest first",
                y_label="of the normalized Laplacian",
                series=series,
            ),
        ]


@check("reliance.clusters")
def clusters(recording: Recording, engine: Engine, *, seed: int) -> ReliesOnClusters:
    """Do the heatmaps of a class form clusters, one of them at a fixed region of the image?

    What it asks:
        For up to 60 images of each of the (up to 12) most frequently predicted classes, layer-wise relevance
        propagation gives a heatmap of the evidence for the prediction. The heatmaps of a class are clustered. Does the
        evidence of one cluster lie in one fixed region, off the object?

    Why it matters:
        This method found the horses that were recognized by a photographer's tag at the bottom left: their heatmaps are
        similar to each other, and different from those of other horses.

    How to read it:
        Look at the mean maps of the clusters, and at members of each: a cluster that highlights the same corner in
        every image is a reason to look further, with `reliance.shortcut` and `reliance.cue`. The number of clusters is
        where the eigenvalues have their widest gap. The Fisher score measures how far a cluster lies from the others;
        it ranks clusters, and is not a test. Only the share of a class's images that have half of their evidence in one
        square of a tenth of the image is judged. With masks, evidence on the object does not count; without masks, only
        squares at the edge of the image count.

    Limits:
        This is not a detector. On 41 small networks of the planted benchmark, of which 20 rely on a cue (patch, tag,
        frame, background, inner texture, signature, position), the AUROC was 0.48 for the eigengap and 0.46 for the
        Fisher score (chance is 0.5). The fixed region had 0.63 with masks and 0.57 without; the judged quantity failed
        3 of these 20 (patches and tags that decide nearly everything) and none of the 21 others. The region was defined
        after looking at these networks. Cues at varying positions, everywhere, or on the object are not seen, and
        neither are cues that heatmaps do not show.

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
                task="Computing heatmaps",
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
    order = sorted(classes, key=lambda target: -classes[target].sharing / classes[target].images)
    first = order[0]
    return ReliesOnClusters(
        classes=tuple(classes[target] for target in order),
        masked=bool(masked),
        pictures=_pictures(recording.subject, chosen[first], found[first]["map"], classes[first]),
    )


def _frequent(predicted: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """For each of the most frequently predicted classes, rows at equal distances among those predicted as it."""
    found, counts = np.unique(predicted, return_counts=True)
    order = [
        int(i) for i in np.argsort(-counts, kind="stable")[:MAX_CLASSES] if counts[i] >= max(MIN_HEATMAPS, MIN_IMAGES)
    ]
    chosen = {}
    for index in order:
        rows = np.flatnonzero(predicted == found[index])
        chosen[int(found[index])] = rows[evenly_spaced(len(rows), MAX_PER_CLASS)]
    return chosen


def _heatmaps(subject: Subject, indices: Sequence[int], batch_size: int, target: int, *, masked: bool) -> Arrays:
    """Small heatmaps for a class, and the share of positive evidence at each position (off the objects, if masked)."""
    pixels = subject.pixels(indices)
    parts = torch.split(pixels, images_at_once(subject.classifier, len(pixels), PIXELS_WITH_GRADIENT))
    maps = small_heatmaps(torch.cat([lrp(subject.classifier, part, target) for part in parts]))
    evidence = np.maximum(maps, 0)
    total = evidence.sum((1, 2), keepdims=True)
    evidence /= np.where(total > 0, total, 1)
    if masked:
        evidence *= 1 - shrunk(subject.masks(indices))
    return {"map": maps, "off_object": evidence}


def _look(
    name: str, maps: NDArray[np.float64], off_object: NDArray[np.float64], *, masked: bool, seed: int
) -> ClassClusters:
    """Cluster the heatmaps of a class, and find the cluster whose region holds the evidence of most images."""
    found = cluster_heatmaps(maps, seed)
    regions = [place_of(off_object[found.group == i], at_edge=not masked) for i in range(found.count)]
    sharing = [int((evidence_at(off_object, region) >= HALF).sum()) for region in regions]
    suspect = int(np.argmax(sharing))
    return ClassClusters(name=name, clusters=found, suspect=suspect, region=regions[suspect], sharing=sharing[suspect])


def _pictures(
    subject: Subject, rows: NDArray[np.int64], maps: NDArray[np.float64], found: ClassClusters
) -> tuple[Heatmaps, ...]:
    """The mean maps of a class's clusters, the suspect first, and the members most similar to each mean."""
    others = [i for i in range(found.clusters.count) if i != found.suspect]
    means, members = [], []
    for number, cluster in enumerate([found.suspect, *others][:CLUSTERS_SHOWN], start=1):
        inside = np.flatnonzero(found.clusters.group == cluster)
        mean = maps[inside].mean(0)
        similarity = (maps[inside] * mean).sum((1, 2)) / np.maximum(np.linalg.norm(maps[inside], axis=(1, 2)), 1e-12)
        typical = inside[np.argsort(-similarity, kind="stable")[:MEMBERS_SHOWN]]
        shown = subject.pixels(rows[inside].tolist()).mean(0).cpu().numpy()
        text = f"cluster {number}: {plural(len(inside), 'image')}"
        means.append(_heatmap(mean, shown, text, f"Mean heatmap of {text} over their mean image"))
        for row in typical:
            pixels = subject.pixels([int(rows[row])])[0].cpu().numpy()
            path = str(subject.images.table["path"].iloc[rows[row]])
            members.append(
                _heatmap(maps[row], pixels, f"cluster {number}: {path}", f"Heatmap of {path}", int(rows[row]))
            )
    return (
        _on_one_scale(f"Clusters of heatmaps of {found.name!r}: the mean of each over its mean image", means),
        _on_one_scale(f"Images of {found.name!r} that are most similar to their cluster", members),
    )


def _heatmap(
    values: NDArray[np.float64], pixels: NDArray[Any], caption: str, alt: str, row: int | None = None
) -> Heatmap:
    shown = picture(pixels, alt, row)
    return Heatmap(values=(100 * values).round(3).tolist(), caption=caption, alt=alt, picture=shown)


def _on_one_scale(title: str, items: Sequence[Heatmap]) -> Heatmaps:
    limit = float(np.quantile(np.abs(np.array([item.values for item in items], dtype=np.float64)), 0.995)) or 1.0
    return Heatmaps(
        title=title, items=items, low=-limit, high=limit, diverging=True, scale_label="relevance, % of the whole map"
    )


def _words(region: tuple[int, int]) -> str:
    """A region in words, e.g. 'the top left'."""
    row, column = ((start + BOX / 2) / SIDE for start in region)
    vertical = "top" if row < 1 / 3 else "bottom" if row > 2 / 3 else ""
    horizontal = "left" if column < 1 / 3 else "right" if column > 2 / 3 else ""
    return " ".join(word for word in ("the", vertical, horizontal) if word) if vertical or horizontal else "the middle"
