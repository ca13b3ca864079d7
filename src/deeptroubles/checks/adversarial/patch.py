"""adversarial.patch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Estimate, Evidence, Finding, GridItem, ImageGrid, Verdict
from deeptroubles.methods.attacks import patch as method
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject

SMALL = 64
"""Up to this side length a longer search costs seconds."""
LARGE_RUN, SMALL_RUN = (15, 36), (60, 100)
"""Steps of the search, and fresh views on which the patch is judged."""
IMAGES = 12
WARN_AT, FAIL_AT = 0.2, 0.5


@dataclass(frozen=True, kw_only=True)
class Patch:
    """How often one patch brings about its class.

    Attributes:
        target: Name of the class.
        images: How many images the patch was made and judged on.
        steps: Of the search.
        success: Share of fresh views with the patch that are called so; `control`: with random content in its place;
            `clean`: without a patch.
        shown: The patch.
    """

    target: str
    images: int
    steps: int
    success: Interval
    control: Interval
    clean: Interval
    shown: ImageGrid

    @property
    def verdict(self) -> Verdict:
        """What the views say; where a short search fails, nothing."""
        verdict = judge(self.success, self.images, warn_at=WARN_AT, fail_at=FAIL_AT)
        short = self.steps < SMALL_RUN[0]
        return Verdict.INCONCLUSIVE if short and verdict == Verdict.PASS else verdict

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        evidence: list[Evidence] = [
            Estimate(
                label=label,
                value=share.value,
                low=share.low,
                high=share.high,
                n=self.images,
                warn_at=WARN_AT if i == 0 else None,
                fail_at=FAIL_AT if i == 0 else None,
            )
            for i, (label, share) in enumerate(
                (
                    ("Views with the patch", self.success),
                    ("with random content in its place", self.control),
                    ("without a patch", self.clean),
                )
            )
        ]
        yield Finding(
            check="adversarial.patch",
            verdict=self.verdict,
            severity=self.success.value,
            claim=f"One patch on a tenth of the image makes {percent_interval(self.success)} of fresh views a "
            f"{self.target}; random content in its place {percent(self.control.value)}.",
            criterion=criterion("the share of fresh views that the patch turns", warn_at=WARN_AT, fail_at=FAIL_AT)
            + f" Never passes after fewer than {SMALL_RUN[0]} steps (images above {SMALL} pixels).",
            evidence=[*evidence, self.shown],
            caveats=[
                *few(self.images),
                f"One class, and a short search of {self.steps} steps: a longer one finds stronger patches.",
                "All of this happens to pixels. Whether it works printed, before a camera, has to be tried.",
            ],
        )


@check("adversarial.patch")
def patch(recording: Recording, engine: Engine, *, seed: int) -> Patch:
    """Can one sticker turn whatever it is put on into something else?

    What it asks:
        One disc on a tenth of the image is searched whose presence, anywhere, at any angle and in any light, makes the
        network say a class that was drawn at random. How often does it work on views that it was not made on?

    Why it matters:
        A sticker needs no access to the camera and fits any scene. A network that a sticker overrules does not weigh
        what it sees.

    How to read it:
        The first estimate is the share of fresh views that are called the drawn class with the patch, the others the
        same with random content in its place, and with nothing: what the patch does is the difference.

    Limits:
        A short search for one class: not broken by it means little. It says nothing about a printed patch.

    References:
        T. B. Brown et al., Adversarial patch, 2017.

        A. Athalye et al., Synthesizing robust adversarial examples, ICML 2018 (expectation over transformations).
    """
    subject, rows = recording.subject, recording.sample(IMAGES)
    rare = np.bincount(recording.predicted, minlength=subject.classifier.classes)
    unused = np.flatnonzero(rare == rare.min())
    target = int(unused[np.random.default_rng(seed).integers(len(unused))])
    steps, views = SMALL_RUN if max(subject.classifier.size) <= SMALL else LARGE_RUN
    found = engine.map(
        _search,
        subject,
        rows,
        task="Searching a patch",
        chunk=IMAGES,
        target=target,
        steps=steps,
        views=views,
        seed=seed,
    )
    name = subject.classifier.class_names[target]
    shown = picture(found["patch"][0].astype(np.float32) / 255, f"The patch that is to mean {name}")
    return Patch(
        target=name,
        images=len(rows),
        steps=steps,
        success=Interval(*found["success"][0].tolist()),
        control=Interval(*found["control"][0].tolist()),
        clean=Interval(*found["clean"][0].tolist()),
        shown=ImageGrid(title="The patch", items=[GridItem(picture=shown, caption=name)]),
    )


def _search(
    subject: Subject, indices: Sequence[int], batch_size: int, target: int, steps: int, views: int, seed: int
) -> dict[str, NDArray[Any]]:
    """The patch for all images together; the same in every row."""
    found = method.patch(
        subject.classifier, subject.pixels(indices), target, steps=steps, views=views, seed=seed, batch_size=batch_size
    )
    pixels = to_bytes(found.patch * found.mask).numpy()
    once = {"patch": pixels, "success": found.success, "control": found.control, "clean": found.clean}
    return {name: np.repeat(np.asarray(value)[None], len(indices), axis=0) for name, value in once.items()}
