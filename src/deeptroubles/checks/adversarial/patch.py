"""adversarial.patch: can one patch decide the prediction?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deeptroubles.checks.adversarial.shared.masking import RULE, gradient_masking, withheld
from deeptroubles.checks.limits import Limits, estimate, few
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Finding, GridItem, ImageGrid, Verdict
from deeptroubles.methods.attacks import patch as method
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

SMALL = 64
"""Up to this side length a longer search costs seconds."""
LARGE_RUN, SMALL_RUN = (15, 36), (60, 100)
"""Steps of the search, and new views on which the patch is judged."""
MAX_IMAGES = 12
LIMITS = Limits(
    "the share of new views with the patch that are predicted as its class",
    warn_at=0.2,
    fail_at=0.5,
    note="Neither fails nor warns unless the interval also lies above the share without a patch. "
    f"Never passes after fewer than {SMALL_RUN[0]} steps (images above {SMALL} pixels). {RULE} The thresholds are "
    "conventions.",
)


@dataclass(frozen=True, kw_only=True)
class Patch:
    """How often one patch decides the prediction.

    Attributes:
        target: Name of the class.
        images: How many images the patch was made and judged on.
        steps: Steps of the search.
        masked: Signs of masked gradients, which the search follows.
        success: Share of new views with the patch that are predicted as the class; `control`: with random content in
            its place; `clean`: without a patch.
        shown: The patch.
    """

    target: str
    images: int
    steps: int
    masked: tuple[str, ...]
    success: Interval
    control: Interval
    clean: Interval
    shown: ImageGrid

    @property
    def verdict(self) -> Verdict:
        """By the share of views; inconclusive where a search failed that was short, or followed masked gradients.

        Also inconclusive where as many views may have the class without a patch: with few classes, many do.
        """
        verdict = withheld(LIMITS.verdict(self.success, self.images), self.masked)
        if verdict in {Verdict.FAIL, Verdict.WARN} and self.success.low <= self.clean.value:
            return Verdict.INCONCLUSIVE
        short = self.steps < SMALL_RUN[0]
        return Verdict.INCONCLUSIVE if short and verdict == Verdict.PASS else verdict

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        yield Finding(
            check="adversarial.patch",
            verdict=self.verdict,
            severity=self.success.value,
            claim=f"One patch on a tenth of the image makes the network predict {self.target} on "
            f"{percent_interval(self.success)} of new views (with random content in its place: "
            f"{percent(self.control.value)}, without a patch: {percent(self.clean.value)}).",
            criterion=LIMITS.criterion,
            evidence=[
                LIMITS.estimate("New views with the patch", self.success, self.images),
                estimate("with random content in its place", self.control, self.images),
                estimate("without a patch", self.clean, self.images),
                self.shown,
            ],
            caveats=[
                *few(self.images),
                *self.masked,
                f"One class, and a short search of {self.steps} steps: a longer search finds stronger patches.",
                "The patch was tested digitally; it has not been printed and photographed.",
            ],
        )


@check("adversarial.patch", common=True)
def patch(recording: Recording, engine: Engine, *, seed: int) -> Patch:
    """Can one patch decide the prediction on any image?

    What it asks:
        A search finds a disc on a tenth of the image that, at any position, angle and brightness, makes the network
        predict a class drawn at random. How often does it work on views that it was not made on?

    Why it matters:
        A sticker needs no access to the camera and works in any scene. A network whose prediction a sticker decides
        does not weigh the rest of the image.

    How to read it:
        The first estimate is the share of new views with the patch that are predicted as the class. The others are the
        same with random content in its place, and without a patch; the difference is the effect of the patch.

    Limits:
        The search is short and for one class, so a failed search means little. Printed patches are not tested.

    References:
        T. B. Brown et al., Adversarial patch, 2017.

        A. Athalye et al., Synthesizing robust adversarial examples, ICML 2018 (expectation over transformations).
    """
    subject, rows = recording.subject, recording.sample(MAX_IMAGES)
    rare = np.bincount(recording.predicted, minlength=subject.classifier.classes)
    unused = np.flatnonzero(rare == rare.min())
    target = int(unused[np.random.default_rng(seed).integers(len(unused))])
    steps, views = SMALL_RUN if max(subject.classifier.size) <= SMALL else LARGE_RUN
    found = engine.once(
        _search,
        subject,
        task="Searching a patch",
        rows=rows.tolist(),
        target=target,
        steps=steps,
        views=views,
        seed=seed,
    )
    name = subject.classifier.class_names[target]
    shown = picture(found["patch"].astype(np.float32) / 255, f"The patch for {name}")
    return Patch(
        target=name,
        images=len(rows),
        steps=steps,
        masked=tuple(gradient_masking(recording, engine).raised()),
        success=Interval(*found["success"].tolist()),
        control=Interval(*found["control"].tolist()),
        clean=Interval(*found["clean"].tolist()),
        shown=ImageGrid(title="The patch", items=[GridItem(picture=shown, caption=name)]),
    )


def _search(
    subject: Subject, batch_size: int, rows: list[int], target: int, steps: int, views: int, seed: int
) -> Arrays:
    """One patch for all images together."""
    found = method.patch(
        subject.classifier, subject.pixels(rows), target, steps=steps, views=views, seed=seed, batch_size=batch_size
    )
    shares = {"success": found.success, "control": found.control, "clean": found.clean}
    return {"patch": to_bytes(found.patch * found.mask).numpy(), **{k: np.asarray(v) for k, v in shares.items()}}
