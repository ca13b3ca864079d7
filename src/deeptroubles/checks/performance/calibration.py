"""performance.calibration: does its confidence match its accuracy?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Curve, Finding, Series
from deeptroubles.recording import Recording
from deeptroubles.statistics.calibration import CalibrationError, calibration_error, reliability
from deeptroubles.statistics.intervals import wilson

LIMITS = Limits("the expected calibration error beyond chance", warn_at=0.05, fail_at=0.10)


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
        direction = "overconfident" if self.confidence > self.accuracy else "underconfident"
        yield Finding(
            check="performance.calibration",
            verdict=LIMITS.verdict(corrected, self.images),
            severity=corrected.value,
            claim=f"The calibration error beyond chance is {percent_interval(corrected)}; on average the model is "
            f"{direction} (mean confidence {percent(self.confidence)}, accuracy {percent(self.accuracy)}).",
            criterion=LIMITS.criterion,
            evidence=[LIMITS.estimate("Calibration error beyond chance", corrected, self.images), self._curve()],
            caveats=[
                *few(self.images),
                (
                    f"The uncorrected expected calibration error is {percent(self.error.plain)}; for a perfectly "
                    f"calibrated classifier it would be {percent(self.error.floor)} on this number of images."
                ),
                "Only the most likely class is measured.",
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
            title="Accuracy by confidence",
            x_label="confidence",
            y_label="accuracy",
            series=[measured, perfect],
            y_range=(0.0, 1.0),
        )


@check("performance.calibration", needs=[LABELS])
def calibration(recording: Recording, engine: Engine, *, seed: int) -> Calibration:
    """Does its confidence match its accuracy?

    What it asks:
        The difference between the probability of the most likely class and the accuracy: the expected calibration error
        over 15 bins of confidence, minus its mean under perfect calibration on this number of images.

    Why it matters:
        A threshold on the confidence ("a person reviews everything below 90%") only works if the confidence is
        meaningful. Modern networks are often overconfident.

    How to read it:
        In the curve, points below the dashed diagonal are overconfident, points above it underconfident; the band is
        the 95% interval of each bin. The estimate is the mean distance from the diagonal, weighted by the number of
        images, minus its mean for a perfectly calibrated classifier with these confidences.

    Limits:
        Only the most likely class is measured. Temperature scaling can fix calibration without changing a prediction,
        so a well-calibrated classifier can still be right for the wrong reasons.

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
