"""reliance.object: does the evidence for the prediction lie in the object?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import MIN_IMAGES, estimate, few
from deeptroubles.checks.options import MASKS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Column, Evidence, Finding, Heatmap, Heatmaps, Table, Verdict
from deeptroubles.methods.attribution.integrated_gradients import integrated_gradients
from deeptroubles.methods.attribution.shared.quality import energy_inside, pointing_game
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.shared.masks import dilate
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.statistics.intervals import Interval, mean, mean_share
from deeptroubles.subject import Subject

MARGIN = 0.05
"""The smallest difference between shares of evidence that counts."""
MAX_IMAGES, FEWEST = 64, 32
"""Images whose evidence is measured, and how many at least whatever the budget."""
STEPS = 16
EXAMPLES_SHOWN = 4
SMOOTH = 1 / 40
"""Maps are smoothed by this share of the image's shorter side for display; numbers are from unsmoothed maps."""


@dataclass(frozen=True, kw_only=True)
class ObjectEvidence:
    """Where the evidence for predictions lies; every array has one row per image.

    Attributes:
        inside: Share of the positive evidence inside the object and its rim; NaN where there is no positive evidence.
        area: The object's share of the image, which is the share of uniform evidence inside it.
        center: The overlap of the object with a centered disc of its area, as a share of the disc.
        pointed: Whether the strongest evidence lies in the object.
        maps: The maps of the images with the least evidence inside.
    """

    inside: NDArray[np.float64]
    area: NDArray[np.float64]
    center: NDArray[np.float64]
    pointed: NDArray[np.bool_]
    maps: tuple[Heatmap, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        known = np.isfinite(self.inside)
        count, inside = int(known.sum()), mean(self.inside[known])
        over_area = mean((self.inside - self.area)[known])
        over_center = mean((self.inside - self.center)[known])
        area, center, pointed = self.area[known], self.center[known], mean_share(self.pointed[known])
        yield Finding(
            check="reliance.object",
            verdict=_verdict(over_area, over_center, count),
            severity=float(np.clip(0.5 - over_center.value, 0, 1)) if count else 0.0,
            claim=f"{percent_interval(inside)} of the evidence for predictions lies in the object, which covers "
            f"{percent(area.mean())} of the image (a centered disc of that area would contain "
            f"{percent(center.mean())}; the strongest evidence lies in the object on {percent(pointed.value)} of "
            "images)."
            if count
            else f"Inconclusive: 0 of {len(known)} images have positive evidence for the prediction.",
            criterion=f"Fails if the object's share of the evidence exceeds its area by at most {percent(MARGIN)} "
            f"(entire 95% interval), and passes if it is at least {percent(MARGIN)} above that of a centered disc. "
            "Inconclusive otherwise, because maps of networks that use the object can be diffuse, and with fewer than "
            f"{MIN_IMAGES} images.",
            evidence=self._evidence(count, over_area, over_center, pointed),
            caveats=[
                *few(count),
                "Evidence is the positive part of integrated gradients; other methods can give other maps.",
                "A pass does not rule out that the background is used too; reliance.background tests that.",
            ],
        )

    def _evidence(self, count: int, over_area: Interval, over_center: Interval, pointed: Interval) -> list[Evidence]:
        if not count:
            return []
        known = np.isfinite(self.inside)
        columns = [Column(name="quantity"), Column(name="value", kind="share"), Column(name="95% CI", kind="interval")]
        rows: list[list[Any]] = []
        for name, part in (
            ("evidence in the object", mean(self.inside[known])),
            ("uniform evidence", mean(self.area[known])),
            ("evidence in a centered disc", mean(self.center[known])),
            ("in the object, minus uniform evidence", over_area),
            ("in the object, minus a centered disc", over_center),
            ("images whose strongest evidence is in the object", pointed),
        ):
            interval = [max(-1.0, part.low), min(1.0, part.high)]
            rows.append([name, round(part.value, 4), interval])
        limit = max((abs(v) for m in self.maps for row in m.values for v in row if v is not None), default=1.0)
        evidence: list[Evidence] = [
            estimate(
                "Evidence in the object, minus a centered disc",
                Interval(over_center.value, max(-1.0, over_center.low), min(1.0, over_center.high)),
                count,
                higher_is_worse=False,
            ),
            Table(title="Where the evidence lies", columns=columns, rows=rows),
        ]
        if self.maps:
            evidence.insert(
                1,
                Heatmaps(
                    title="Evidence on the images with the least evidence in the object",
                    items=self.maps,
                    low=-limit,
                    high=limit,
                    diverging=True,
                    scale_label="share of the largest value of its map",
                ),
            )
        return evidence


def _verdict(over_area: Interval, over_center: Interval, count: int) -> Verdict:
    if count < MIN_IMAGES:
        return Verdict.INCONCLUSIVE
    if over_area.high <= MARGIN:
        return Verdict.FAIL
    return Verdict.PASS if over_center.low >= MARGIN else Verdict.INCONCLUSIVE


@check("reliance.object", needs=[MASKS])
def object(recording: Recording, engine: Engine, *, seed: int) -> ObjectEvidence:  # noqa: A001 (the name of the check)
    """Does the evidence for the prediction lie in the object?

    What it asks:
        Integrated gradients distribute the logit of the prediction over the pixels. How much of the positive evidence
        lies in the object (with a rim, because edges lie on both sides of an outline), and is that more than in a
        centered disc of the same area, where objects usually are?

    Why it matters:
        Evidence outside the object comes from something else that happened to be in the image.

    How to read it:
        The estimate is the share of the evidence in the object minus that expected from the disc: above 0, the evidence
        follows the object and not only its usual position. The maps show the images with the least evidence in the
        object: warm colors are evidence for the prediction.

    Limits:
        An attribution is not an experiment, and attributions have shown problems in networks that had none. If objects
        are centered and fill the image, the disc is hard to beat and the result is inconclusive. Integrated gradients
        were chosen because their sum is the change of the logit (completeness), and because they need no layer and have
        pixel resolution. On eight networks trained on scenes with and without a cue they separated the two more clearly
        than Grad-CAM and occlusion, and less clearly than LRP, which does not work for every network.

    References:
        M. Sundararajan, A. Taly, Q. Yan, Axiomatic attribution for deep networks, ICML 2017.

        H. Wang et al., Score-CAM, CVPR Workshops 2020 (share of the evidence inside).

        J. Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016 (pointing game).

        J. Adebayo et al., Post hoc explanations may be ineffective for detecting unknown spurious correlation, ICLR
        2022.
    """
    masked = recording.masked
    rows = masked[evenly_spaced(len(masked), recording.affordable(MAX_IMAGES, 3 * STEPS, FEWEST))]
    found = engine.map(_evidence_of, recording.subject, rows, task="Measuring evidence in objects", chunk=4)
    order = np.argsort(found["inside"] - found["area"], kind="stable")[:EXAMPLES_SHOWN]
    return ObjectEvidence(
        inside=found["inside"],
        area=found["area"],
        center=found["center"],
        pointed=found["pointed"],
        maps=tuple(_map(recording, int(rows[i]), found["map"][i], found["inside"][i]) for i in order),
    )


def _evidence_of(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Share of the evidence inside each object, its two baselines, whether the maximum is inside, and the map."""
    size = subject.classifier.size
    masks = dilate(subject.masks(indices), max(1, min(size) // 40))
    maps = integrated_gradients(subject.classifier, subject.pixels(indices), steps=STEPS, batch_size=batch_size)
    discs = centered_discs(masks.sum((1, 2)), size).to(masks.device)
    smooth = gaussian_blur(maps[:, None], SMOOTH * min(size))[:, 0]
    return {
        "inside": energy_inside(maps, masks).double().cpu().numpy(),
        "area": masks.double().mean((1, 2)).cpu().numpy(),
        "center": ((discs & masks).sum((1, 2)) / discs.sum((1, 2))).double().cpu().numpy(),
        "pointed": pointing_game(maps, masks, tolerance=0).numpy(),
        "map": (smooth / smooth.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy(),
    }


def centered_discs(areas: Tensor, size: tuple[int, int]) -> Tensor:
    """Discs of given areas (N, in pixels) around the center of an image: the closest pixels. N x H x W, bool."""
    height, width = size
    y, x = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    rank = (y[:, None] ** 2 + x**2).flatten().argsort(stable=True).argsort().view(size)
    return rank < areas.cpu()[:, None, None]


def _map(recording: Recording, row: int, values: NDArray[Any], inside: float) -> Heatmap:
    name = recording.subject.classifier.class_names[recording.predicted[row]]
    shown = picture(recording.subject.pixels([row])[0].cpu().numpy(), f"An image predicted as {name}", row)
    share = percent(inside) if np.isfinite(inside) else "none"
    return Heatmap(
        values=np.round(values.astype(float), 3).tolist(),
        caption=f"{name}: {share} inside",
        alt=f"Evidence for {name}, {share} of it in the object",
        picture=shown,
    )
