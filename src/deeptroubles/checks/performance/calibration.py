"""performance.calibration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Curve, Estimate, Finding, Series
from deeptroubles.recording import Recording
from deeptroubles.statistics.calibration import CalibrationError, calibration_error, reliability
from deeptroubles.statistics.intervals import wilson

WARN_AT, FAIL_AT = 0.05, 0.10


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The calibration error, and confidence against accuracy bin by bin (B x 3: confidence, accuracy, images)."""

    images: int
    error: CalibrationError
    bins: np.ndarray
    confidence: float
    accuracy: float

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        corrected = self.error.corrected
        direction = "surer than it is right" if self.confidence > self.accuracy else "less sure than it is right"
        yield Finding(
            check="performance.calibration",
            verdict=judge(corrected, self.images, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=corrected.value,
            claim=f"Its confidence is off by {percent_interval(corrected)}; on average it is {direction}: mean "
            f"confidence {percent(self.confidence)}, accuracy {percent(self.accuracy)}.",
            criterion=criterion(
                "the expected calibration error, less what chance gives,", warn_at=WARN_AT, fail_at=FAIL_AT
            ),
            evidence=[
                Estimate(
                    label="Calibration error beyond chance",
                    value=corrected.value,
                    low=corrected.low,
                    high=corrected.high,
                    n=self.images,
                    warn_at=WARN_AT,
                    fail_at=FAIL_AT,
                ),
                self._curve(),
            ],
            caveats=[
                *few(self.images),
                (
                    f"The plain expected calibration error is {percent(self.error.plain)}; a perfectly calibrated "
                    f"classifier would show {percent(self.error.floor)} on as many images."
                ),
                "It is measured for the most likely class only.",
            ],
        )

    def _curve(self) -> Curve:
        intervals = [wilson(round(right * count), int(count)) for _, right, count in self.bins]
        measured = Series(
            name="measured",
            x=[float(b[0]) for b in self.bins],
            y=[float(b[1]) for b in self.bins],
            low=[i.low for i in intervals],
            high=[i.high for i in intervals],
        )
        perfect = Series(name="perfectly calibrated", x=[0.0, 1.0], y=[0.0, 1.0], reference=True)
        return Curve(
            title="Confidence against accuracy",
            x_label="confidence",
            y_label="share right",
            series=[measured, perfect],
            y_range=(0.0, 1.0),
        )


@check("performance.calibration", needs=[LABELS])
def calibration(recording: Recording, engine: Engine, *, seed: int) -> Calibration:
    """When it says 80 %, is it right 8 times in 10?

    What it asks:
        How far the probability of the most likely class is from the share of images on which that class is right: the
        expected calibration error over 15 bins of confidence, less the part that chance alone gives on so few images.

    Why it matters:
        A threshold on the confidence ("below 90 % a person looks") only works when the confidence means something.
        Modern networks are often surer than they are right.

    How to read it:
        In the curve, points under the dashed diagonal are answers given with too much confidence, points above it with
        too little; the band is the 95 % interval of each bin. The estimate is the mean distance from the diagonal,
        weighted by the number of images, less its mean for a perfectly calibrated classifier with these confidences.

    Limits:
        Only the most likely class is looked at. Temperature scaling can mend calibration without changing one answer,
        so a well calibrated classifier can still be right for the wrong reasons.

    References:
        C. Guo et al., On calibration of modern neural networks, ICML 2017.

        J. Bröcker, L. A. Smith, Increasing the reliability of reliability diagrams, Weather and Forecasting 2007.

        J. Vaicenavicius et al., Evaluating model calibration in classification, AISTATS 2019.
    """
    rows = recording.labelled
    confidence = recording.probabilities[rows].max(1)
    correct = (recording.predicted[rows] == recording.targets[rows]).astype(float)
    return Calibration(
        images=len(rows),
        error=calibration_error(confidence, correct, seed=seed),
        bins=reliability(confidence, correct),
        confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
    )
