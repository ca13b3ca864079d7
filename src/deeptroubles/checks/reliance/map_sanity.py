"""reliance.map_sanity: do attribution maps depend on what the network learned?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from deeptroubles.checks.limits import MIN_IMAGES, few
from deeptroubles.checks.registry import check
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ModelError, NoGradientError
from deeptroubles.findings import Cell, Column, Curve, Evidence, Finding, Series, Table, Verdict
from deeptroubles.methods.attribution.shared.quality import is_constant, randomized, rank_correlation
from deeptroubles.methods.catalogue import ATTRIBUTION
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_share
from deeptroubles.subject import PIXELS_WITH_GRADIENT, Subject, images_at_once, logits_of

LIMIT = 0.5
"""A map with this rank correlation to the one of a shuffled network does not show what the network learned."""

SHARES = (0.1, 0.5, 1.0)
"""The share of the weight tensors that is shuffled, from the last layer down."""

MAX_IMAGES = 10
VIEWS = 110
"""What the maps of all methods for one image cost, in forward passes, as measured on EfficientNet-Lite0."""
MANY_PASSES = {"occlusion", "rise", "score_cam", "ablation_cam", "integrated_gradients", "smooth_grad"}
"""Methods that need dozens to hundreds of passes per map, which would take longer than all other checks."""


@dataclass(frozen=True, kw_only=True)
class MethodSanity:
    """The agreement of a method's maps with those of the shuffled network, per share that is shuffled."""

    method: str
    agreement: tuple[Interval, ...]

    @property
    def verdict(self) -> Verdict:
        """Whether its maps depend on the weights."""
        last = self.agreement[-1]
        if last.low > LIMIT:
            return Verdict.FAIL
        return Verdict.PASS if last.high <= LIMIT else Verdict.INCONCLUSIVE


@dataclass(frozen=True, kw_only=True)
class MapSanity:
    """Which methods' maps depend on the weights.

    Attributes:
        images: How many images maps were made for.
        shares: The shares of the weight tensors that were shuffled; the last is all.
        methods: What was found for each method.
        impossible: Methods that do not work here, and why.
    """

    images: int
    shares: tuple[float, ...]
    methods: tuple[MethodSanity, ...]
    impossible: tuple[tuple[str, str], ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        by_verdict = {v: [m.method for m in self.methods if m.verdict == v] for v in Verdict}
        passed, failed = by_verdict[Verdict.PASS], by_verdict[Verdict.FAIL]
        if self.images < MIN_IMAGES or not (passed or failed):
            verdict = Verdict.INCONCLUSIVE
        elif failed:
            verdict = Verdict.WARN if passed else Verdict.FAIL
        else:
            verdict = Verdict.PASS if 2 * len(passed) > len(self.methods) else Verdict.INCONCLUSIVE
        claim = f"The maps of {len(passed)} of {len(self.methods)} attribution methods depend on the network's weights"
        claim += f" ({', '.join(passed)})" if passed else ""
        claim += f"; the maps of {len(failed)} do not ({', '.join(failed)})." if failed else "."
        yield Finding(
            check="reliance.map_sanity",
            verdict=verdict,
            severity=len(failed) / max(1, len(self.methods)),
            claim=claim,
            criterion="A method passes if its maps for a completely shuffled network and for the network itself have a "
            f"mean absolute rank correlation below {LIMIT} (entire 95% interval), and fails if it is above. The check "
            "fails if some methods fail and none passes, warns if some fail, and passes if none fails and more than "
            f"half pass. Inconclusive otherwise, and with fewer than {MIN_IMAGES} images.",
            evidence=self._evidence(),
            caveats=[
                *few(self.images),
                *(f"{method} was not tested: {why}" for method, why in self.impossible),
                *([] if len(self.shares) > 1 else [_NO_CURVE]),
                f"Not tested, because each map takes many passes: {', '.join(sorted(MANY_PASSES))}.",
                "A pass shows that maps depend on the weights, not that they show the right evidence.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        words = {Verdict.PASS: "yes", Verdict.FAIL: "no", Verdict.INCONCLUSIVE: "inconclusive"}
        columns = [
            Column(name="method"),
            Column(name="depends on the weights"),
            Column(name="correlation with shuffled", kind="number"),
            Column(name="95% CI", kind="interval"),
        ]
        ordered = sorted(self.methods, key=lambda m: m.agreement[-1].value)
        rows: list[list[Cell]] = [
            [m.method, words[m.verdict], round(m.agreement[-1].value, 3), [m.agreement[-1].low, m.agreement[-1].high]]
            for m in ordered
        ]
        table = Table(title="Which methods' maps depend on the weights", columns=columns, rows=rows)
        if len(self.shares) == 1:
            return [table]
        series = [
            Series(name=m.method, x=[0.0, *self.shares], y=[1.0, *(round(a.value, 4) for a in m.agreement)])
            for m in ordered
        ]
        return [
            table,
            Curve(
                title="Correlation with the unshuffled network's map, shuffling from the last layer down",
                x_label="share of weight tensors shuffled",
                y_label="absolute rank correlation",
                series=series,
                y_range=(0.0, 1.0),
            ),
        ]


_NO_CURVE = "To keep to the time budget (--budget), it was not measured at which depth the maps change."


@check("reliance.map_sanity")
def map_sanity(recording: Recording, engine: Engine, *, seed: int) -> MapSanity:
    """Do attribution maps of this network depend on what it learned?

    What it asks:
        The weights are shuffled, tensor by tensor, from the last layer to the first. Does the map of each attribution
        method change?

    Why it matters:
        Some methods draw the edges of the image whatever the network learned. Such a map looks plausible and explains
        nothing.

    How to read it:
        The table gives the absolute rank correlation (1 is the same map) between the maps of the network and of its
        completely shuffled copy; lower is better. Where time allows, a curve shows at which depth the maps change.

    Limits:
        A map can depend on the weights and still mislead. Rank correlation ignores where the differences are, and
        smooth maps correlate a little by chance.

    References:
        J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018.

        A. Hedström et al., Sanity checks revisited: an exploration to repair the model parameter randomization test,
        2023.
    """
    rows = recording.sample(MAX_IMAGES)
    affordable = recording.affordable(MAX_IMAGES, VIEWS * (1 + len(SHARES)), at_least=0) == MAX_IMAGES
    shares = SHARES if affordable else SHARES[-1:]
    chunk = images_at_once(recording.subject.classifier, MAX_IMAGES, PIXELS_WITH_GRADIENT)
    methods, impossible = [], []
    for method in sorted(ATTRIBUTION.keys() - MANY_PASSES):
        try:
            found = engine.map(
                _agreements,
                recording.subject,
                rows,
                task=f"Shuffling weights: {method}",
                chunk=chunk,
                method=method,
                shares=list(shares),
                seed=seed,
            )
        except ModelError as error:
            impossible.append((method, str(error)))
            continue
        agreement = found["agreement"][found["shown"]]
        if not len(agreement):
            impossible.append((method, "its maps are constant, so they show nothing."))
            continue
        intervals = tuple(mean_share(np.abs(column)) for column in agreement.T)
        methods.append(MethodSanity(method=method, agreement=intervals))
    return MapSanity(images=len(rows), shares=shares, methods=tuple(methods), impossible=tuple(impossible))


def _agreements(
    subject: Subject, indices: Sequence[int], batch_size: int, method: str, shares: Sequence[float], seed: int
) -> Arrays:
    """Correlation of the maps with those of the shuffled network, N x shares, for the same classes.

    `shown`: Which maps show anything; a constant map agrees with nothing, whatever the network learned.
    """
    pixels = subject.pixels(indices)
    targets = logits_of(subject.classifier, pixels, batch_size).argmax(1)
    attribute = ATTRIBUTION[method].function
    true = attribute(subject.classifier, pixels, targets)
    columns = []
    for share in shares:
        with randomized(subject.classifier, share, seed):
            try:
                columns.append(rank_correlation(true, attribute(subject.classifier, pixels, targets)))
            except NoGradientError:  # shuffling left no gradient, so no map agrees with the true one
                columns.append(torch.zeros(len(true), dtype=torch.double))
    agreement = torch.stack([column.cpu() for column in columns], dim=1)
    return {"agreement": agreement.numpy(), "shown": (~is_constant(true)).cpu().numpy()}
