"""The cost of intervals by group: 1,000 resamples of 2,000 images, compared with the bootstrap of fairlearn.

Run `python benchmarks/fairness.py`. One process, minimum over alternating rounds. fairlearn resamples the whole set and
computes a metric by group for each resample; it is timed on fewer resamples and scaled.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from fairlearn.metrics import MetricFrame
from sklearn.metrics import accuracy_score

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.timing import best_times

from deeptroubles.methods.fairness.gaps import calibration_gap, class_gaps, rate_gap
from deeptroubles.methods.fairness.leakage import probe
from deeptroubles.statistics.bootstrap import resampled_sums, shuffled_sums

IMAGES, GROUPS, CLASSES, RESAMPLES, SCALED = 2000, 6, 10, 1000, 20


def main() -> None:
    """Print the seconds of each candidate."""
    random = np.random.default_rng(0)
    groups, targets = random.integers(GROUPS, size=IMAGES), random.integers(CLASSES, size=IMAGES)
    predicted = np.where(random.random(IMAGES) < 0.7, targets, random.integers(CLASSES, size=IMAGES))
    correct, confidence = predicted == targets, random.random(IMAGES)
    values = np.eye(CLASSES)[targets]
    features = random.normal(size=(IMAGES, 64))

    def fairlearn() -> None:
        MetricFrame(
            metrics={"accuracy": accuracy_score},
            y_true=targets,
            y_pred=predicted,
            sensitive_features=groups,
            n_boot=SCALED,
            ci_quantiles=[0.025, 0.975],
            random_state=0,
        ).difference_ci()

    times = best_times(
        {
            f"{RESAMPLES} resamples, {CLASSES} sums by group": lambda: resampled_sums(values, groups),
            f"{RESAMPLES} shuffles, {CLASSES} sums by group": lambda: shuffled_sums(values, groups),
            "gap in accuracy, with 9,999 shuffles": lambda: rate_gap("accuracy", correct, groups),
            "gap in calibration": lambda: calibration_gap(confidence, correct, groups),
            f"{2 * CLASSES} gaps by class": lambda: list(
                class_gaps(targets, predicted, groups, {k: str(k) for k in range(CLASSES)})
            ),
            "probe of 64 features with 199 controls": lambda: probe(features, groups),
            f"fairlearn, accuracy, scaled from {SCALED} to {RESAMPLES}": fairlearn,
        },
        rounds=3,
    )
    for name, seconds in times.items():
        print(f"{name:52} {seconds * (RESAMPLES / SCALED if name.startswith('fairlearn') else 1):8.3f} s")


if __name__ == "__main__":
    main()
