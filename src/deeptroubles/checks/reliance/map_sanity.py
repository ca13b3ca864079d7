"""reliance.map_sanity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, few
from deeptroubles.checks.registry import check
from deeptroubles.engine import Engine
from deeptroubles.errors import ModelError
from deeptroubles.findings import Cell, Column, Curve, Evidence, Finding, Series, Table, Verdict
from deeptroubles.methods import METHODS
from deeptroubles.methods.attribution.shared.quality import agreement, randomised
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share
from deeptroubles.subject import Subject, logits_of

LIMIT = 0.5
"""A map that agrees this much (rank correlation) with the one of a shuffled network does not show what it learned."""

SHARES = (0.1, 0.5, 1.0)
"""How much of the network is shuffled, from the answer down."""

IMAGES = 10
MANY_PASSES = {"occlusion", "rise", "score_cam", "ablation_cam", "integrated_gradients", "smooth_grad"}
"""Methods that need dozens to hundreds of passes for a map, which would take longer than all other checks."""


@dataclass(frozen=True, kw_only=True)
class MethodSanity:
    """How much a method's maps stay the same when the network is shuffled, per share of it."""

    method: str
    agreement: tuple[Interval, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether its maps may be believed."""
        last = self.agreement[-1]
        if last.low > LIMIT:
            return Verdict.FAIL
        return Verdict.PASS if last.high <= LIMIT else Verdict.INCONCLUSIVE


@dataclass(frozen=True, kw_only=True)
class MapSanity:
    """Which methods' maps depend on what the network has learned. `impossible`: method and why it cannot be asked."""

    images: int
    methods: tuple[MethodSanity, ...]
    impossible: tuple[tuple[str, str], ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        by_verdict = {v: [m.method for m in self.methods if m.verdict == v] for v in Verdict}
        believed, refused = by_verdict[Verdict.PASS], by_verdict[Verdict.FAIL]
        if self.images < MIN_IMAGES or not (believed or refused):
            verdict = Verdict.INCONCLUSIVE
        elif refused:
            verdict = Verdict.WARN if believed else Verdict.FAIL
        else:
            verdict = Verdict.PASS if 2 * len(believed) > len(self.methods) else Verdict.INCONCLUSIVE
        claim = f"Of {len(self.methods)} methods, {len(believed)} draw maps that depend on what the network learned"
        claim += f" ({', '.join(believed)})" if believed else ""
        claim += f"; {len(refused)} do not ({', '.join(refused)})." if refused else "; none certainly does not."
        yield Finding(
            check="reliance.map_sanity",
            verdict=verdict,
            severity=len(refused) / max(1, len(self.methods)),
            claim=claim,
            criterion="A method is believed when its maps for a completely shuffled network agree with the true ones "
            f"(mean absolute rank correlation) by less than {LIMIT} with 95 % confidence, refused when by more. "
            "Fails when methods are refused and none is believed, warns when some are refused, passes when none is "
            f"refused and more than half are believed; inconclusive otherwise, and below {MIN_IMAGES} images.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                *(f"{method} could not be asked: {why}" for method, why in self.impossible),
                f"Not asked, because a map takes them many passes: {', '.join(sorted(MANY_PASSES))}.",
                "Passing shows that a map depends on the weights, not that it shows the right thing.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        words = {Verdict.PASS: "yes", Verdict.FAIL: "no", Verdict.INCONCLUSIVE: "cannot tell"}
        columns = [
            Column(name="method"),
            Column(name="may be believed"),
            Column(name="agreement with shuffled", kind="number"),
            Column(name="95 % interval", kind="interval"),
        ]
        ordered = sorted(self.methods, key=lambda m: m.agreement[-1].value)
        rows: list[list[Cell]] = [
            [m.method, words[m.verdict], round(m.agreement[-1].value, 3), [m.agreement[-1].low, m.agreement[-1].high]]
            for m in ordered
        ]
        series = [
            Series(name=m.method, x=[0.0, *SHARES], y=[1.0, *(round(a.value, 4) for a in m.agreement)]) for m in ordered
        ]
        return [
            Table(title="Which maps may be believed", columns=columns, rows=rows),
            Curve(
                title="Agreement with the true map as the network is shuffled, from the answer down",
                x_label="share of the weight tensors that is shuffled",
                y_label="absolute rank correlation",
                series=series,
                y_range=(0.0, 1.0),
            ),
        ]


@check("reliance.map_sanity")
def map_sanity(recording: Recording, engine: Engine, *, seed: int) -> MapSanity:
    """Do explanations of this network depend on what it has learned?

    What it asks:
        The weights are shuffled, tensor by tensor, from the answer down to the pixels. Does each attribution method
        then draw another map than before?

    Why it matters:
        Some methods draw the edges of the image whatever the network has learned. Such a map looks right and explains
        nothing.

    How to read it:
        The table gives the agreement (absolute rank correlation, 1 is the same map) between the maps of the network and
        of its completely shuffled copy; the lower, the better. The curve shows at which depth a map gives way.

    Limits:
        A map can depend on the weights and still mislead. Rank correlation is blind to where the differences lie, and
        smooth maps agree a little by chance.

    References:
        J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.

        A. Hedström et al., Sanity checks revisited: an exploration to repair the model parameter randomisation test,
        2023.
    """
    rows = recording.sample(IMAGES)
    methods, impossible = [], []
    for method in sorted(METHODS.keys() - MANY_PASSES):
        try:
            found = engine.map(
                _agreements, recording.subject, rows, task=f"Doubting {method}", chunk=4, method=method, seed=seed
            )
        except ModelError as error:
            impossible.append((method, str(error)))
            continue
        intervals = tuple(mean_share(np.abs(column)) for column in found["agreement"].T)
        methods.append(MethodSanity(method=method, agreement=intervals))
    return MapSanity(images=len(rows), methods=tuple(methods), impossible=tuple(impossible))


def _agreements(
    subject: Subject, indices: Sequence[int], batch_size: int, method: str, seed: int
) -> dict[str, NDArray[Any]]:
    """Agreement of the maps with those of the shuffled network, N x shares, in the same classes."""
    pixels = subject.pixels(indices)
    targets = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    true = METHODS[method](subject.classifier, pixels, targets)
    columns = []
    for share in SHARES:
        with randomised(subject.classifier, share, seed):
            columns.append(agreement(true, METHODS[method](subject.classifier, pixels, targets)))
    return {"agreement": torch.stack(columns, dim=1).cpu().numpy()}
