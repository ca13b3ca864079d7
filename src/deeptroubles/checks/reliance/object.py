"""reliance.object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import MIN_IMAGES, few
from deeptroubles.checks.options import MASKS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Column, Estimate, Evidence, Finding, Heatmap, Heatmaps, Table, Verdict
from deeptroubles.methods.attribution.integrated_gradients import integrated_gradients
from deeptroubles.methods.attribution.shared.quality import energy_inside, pointing_game
from deeptroubles.methods.transforms.gaussian_blur import gaussian_blur
from deeptroubles.methods.transforms.inpaint import dilate
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean, mean_share
from deeptroubles.subject import Subject

MARGIN = 0.05
"""A share of evidence counts as more than another when it is larger by this."""
MOST = 64
STEPS = 16
SHOWN = 4
SMOOTH = 1 / 40
"""Maps are shown smoothed by this share of the image's shorter side; numbers are from the maps as they are."""


@dataclass(frozen=True, kw_only=True)
class ObjectEvidence:
    """Where the evidence for the answers lies; every array has one row per image.

    Attributes:
        inside: Share of the positive evidence inside the object and its rim; NaN where there is no positive evidence.
        area: The object's share of the image: what evidence spread evenly would put there.
        centre: What a disc of the object's area in the middle of the image would put there.
        pointed: Whether the strongest evidence lies in the object.
        maps: Of the images with the least evidence inside.
    """

    inside: NDArray[np.float64]
    area: NDArray[np.float64]
    centre: NDArray[np.float64]
    pointed: NDArray[np.bool_]
    maps: tuple[Heatmap, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        known = np.isfinite(self.inside)
        count, inside = int(known.sum()), mean(self.inside[known])
        over_area = mean((self.inside - self.area)[known])
        over_centre = mean((self.inside - self.centre)[known])
        area, centre, pointed = self.area[known], self.centre[known], mean_share(self.pointed[known])
        yield Finding(
            check="reliance.object",
            verdict=_verdict(over_area, over_centre, count),
            severity=float(np.clip(0.5 - over_centre.value, 0, 1)) if count else 0.0,
            claim=f"Of the evidence for the answers, {percent_interval(inside)} lies in the object, whose area is "
            f"{percent(area.mean())} of the image; a disc of that area in the middle would put "
            f"{percent(centre.mean())} there. The strongest evidence lies in the object on {percent_interval(pointed)} "
            "of the images."
            if count
            else f"There is evidence for the answer in 0 of {len(known)} images.",
            criterion=f"Fails when the object gets at most {percent(MARGIN)} more of the evidence than its area, with "
            f"95 % confidence; warns when it gets {percent(MARGIN)} less than a disc in the middle would put there; "
            f"passes when it gets {percent(MARGIN)} more than that; inconclusive otherwise, and below {MIN_IMAGES} images.",
            evidence=self._evidence(count, over_area, over_centre, pointed),
            caveats=[
                *few(count),
                "Evidence is the positive part of integrated gradients; another method can draw another map.",
                "A pass does not rule the background out, which may be used too; reliance.background changes it.",
            ],
        )

    def _evidence(self, count: int, over_area: Interval, over_centre: Interval, pointed: Interval) -> list[Evidence]:
        if not count:
            return []
        known = np.isfinite(self.inside)
        columns = [
            Column(name="what"),
            Column(name="value", kind="share"),
            Column(name="95 % interval", kind="interval"),
        ]
        rows: list[list[Any]] = []
        for name, part in (
            ("evidence in the object", mean(self.inside[known])),
            ("evidence spread evenly", mean(self.area[known])),
            ("evidence in a disc in the middle", mean(self.centre[known])),
            ("in the object, less evenly spread", over_area),
            ("in the object, less a disc in the middle", over_centre),
            ("images whose strongest evidence is in the object", pointed),
        ):
            interval = [max(-1.0, part.low), min(1.0, part.high)]
            rows.append([name, round(part.value, 4), interval])
        value, low, high = over_centre
        limit = max((abs(v) for m in self.maps for row in m.values for v in row if v is not None), default=1.0)
        evidence: list[Evidence] = [
            Estimate(
                label="Evidence in the object beyond a disc in the middle",
                value=value,
                low=max(-1.0, low),
                high=min(1.0, high),
                n=count,
                higher_is_worse=False,
            ),
            Table(title="Where the evidence lies", columns=columns, rows=rows),
        ]
        if self.maps:
            evidence.insert(
                1,
                Heatmaps(
                    title="Evidence on the images with the least of it in the object",
                    items=self.maps,
                    low=-limit,
                    high=limit,
                    diverging=True,
                    scale_label="share of the largest value of its map",
                ),
            )
        return evidence


def _verdict(over_area: Interval, over_centre: Interval, count: int) -> Verdict:
    if count < MIN_IMAGES:
        return Verdict.INCONCLUSIVE
    if over_area.high <= MARGIN:
        return Verdict.FAIL
    if over_centre.high <= -MARGIN:
        return Verdict.WARN
    return Verdict.PASS if over_centre.low >= MARGIN else Verdict.INCONCLUSIVE


@check("reliance.object", needs=[MASKS])
def object_evidence(recording: Recording, engine: Engine, *, seed: int) -> ObjectEvidence:
    """Does the evidence for the answer lie in the object?

    What it asks:
        Integrated gradients share the score of the answer out among the pixels. How much of what speaks for the answer
        lies in the object (with a rim, because edges lie on both sides of an outline), and is that more than a disc of
        the same area in the middle of the image, where objects usually are, would put there?

    Why it matters:
        What speaks for the answer and does not lie in the object is something else that happened to be there.

    How to read it:
        The estimate is the share of the evidence in the object less what the disc puts there: above 0 the network looks
        where the object is and not only where objects usually are. The maps show the images with the least evidence in
        the object: warm speaks for the answer.

    Limits:
        An attribution is a reading of the network and not an experiment, and such readings have accused networks that
        were in order. Where objects lie in the middle and fill the image, the disc is hard to beat and nothing can be
        told. Integrated gradients were chosen because their sum is the score (completeness), they need no layer to be
        named and have the resolution of pixels; on eight networks trained on scenes with and without a cue they
        told the two apart more widely than Grad-CAM and occlusion did, and less widely than LRP, which not every
        network can be asked for.

    References:
        M. Sundararajan, A. Taly, Q. Yan, Axiomatic attribution for deep networks, ICML 2017.

        H. Wang et al., Score-CAM, CVPR Workshops 2020 (share of the evidence inside).

        J. Zhang et al., Top-down neural attention by excitation backprop, ECCV 2016 (pointing game).

        J. Adebayo et al., Post hoc explanations may be ineffective for detecting unknown spurious correlation, ICLR
        2022.
    """
    masked = recording.masked
    rows = masked[np.unique(np.linspace(0, len(masked) - 1, min(len(masked), MOST)).astype(int))]
    found = engine.map(_evidence_of, recording.subject, rows, task="Looking for evidence in objects", chunk=4)
    order = np.argsort(found["inside"] - found["area"], kind="stable")[:SHOWN]
    return ObjectEvidence(
        inside=found["inside"],
        area=found["area"],
        centre=found["centre"],
        pointed=found["pointed"],
        maps=tuple(_map(recording, int(rows[i]), found["map"][i], found["inside"][i]) for i in order),
    )


def _evidence_of(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    """Share of the evidence inside of each object, its two baselines, whether it is pointed at, and the map."""
    size = subject.classifier.size
    masks = dilate(subject.masks(indices), max(1, min(size) // 40))
    maps = integrated_gradients(subject.classifier, subject.pixels(indices), steps=STEPS, batch_size=batch_size)
    discs = centred_discs(masks.sum((1, 2)), size).to(masks.device)
    smooth = gaussian_blur(maps[:, None], SMOOTH * min(size))[:, 0]
    return {
        "inside": energy_inside(maps, masks).double().cpu().numpy(),
        "area": masks.double().mean((1, 2)).cpu().numpy(),
        "centre": ((discs & masks).sum((1, 2)) / discs.sum((1, 2))).double().cpu().numpy(),
        "pointed": pointing_game(maps, masks, tolerance=0).numpy(),
        "map": (smooth / smooth.abs().amax((1, 2), keepdim=True).clamp_min(1e-12)).cpu().numpy(),
    }


def centred_discs(areas: Tensor, size: tuple[int, int]) -> Tensor:
    """Discs of given areas (N, in pixels) around the middle of an image: the pixels closest to it. N x H x W, bool."""
    height, width = size
    y, x = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    rank = (y[:, None] ** 2 + x**2).flatten().argsort(stable=True).argsort().view(size)
    return rank < areas.cpu()[:, None, None]


def _map(recording: Recording, row: int, values: NDArray[Any], inside: float) -> Heatmap:
    name = recording.subject.classifier.class_names[recording.predicted[row]]
    shown = picture(recording.subject.pixels([row])[0].cpu().numpy(), f"An image answered {name}")
    share = percent(inside) if np.isfinite(inside) else "none"
    return Heatmap(
        values=np.round(values.astype(float), 3).tolist(),
        caption=f"{name}: {share} inside",
        alt=f"Evidence for {name}, {share} of it in the object",
        picture=shown,
    )
