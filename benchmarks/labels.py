"""How often are right labels called wrong, and how many wrong labels are found? `data.labels` on 60% to 99% accuracy.

Run `python benchmarks/labels.py`, with `--held-out` for the other half of the settings; some minutes on one core. The
first half (`SEEN`) was looked at while the check was written; the second was run once, afterwards. Confident learning
on uncalibrated probabilities (cleanlab) gets the same labels, for comparison.

Simulated logits are m for the true class plus noise, with m chosen for the accuracy, divided by the best temperature
and multiplied by 1 (calibrated), 3 (overconfident) or 0.4 (underconfident). The kinds of noise:

    gaussian: independent noise; a temperature calibrates it exactly.
    confusable: half of the images also resemble the next class.
    heavy tails: Student's t with 3 degrees of freedom, so that some mistakes are confident.
    hard images: a fifth of the images has a quarter of the signal.

Trained networks are perceptrons fitted to scikit-learn's digits until they are certain of their training images: few
digits, or many with noise. They are tested on other digits.
"""

from __future__ import annotations

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from deeptroubles.checks.data.labels import suspects, verdict_of
from deeptroubles.findings import Verdict
from deeptroubles.statistics.label_errors import label_errors

ACCURACIES = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SCALES = {"calibrated": 1.0, "overconfident": 3.0, "underconfident": 0.4}
PLANTED = (0.0, 0.02, 0.05, 0.10)
IMAGES, REPEATS, LARGE = 500, 5, 20000
SEEN, HELD_OUT = ("gaussian", "confusable", "few digits"), ("heavy tails", "hard images", "noisy digits")
KINDS = 10
FEW, NOISES = (20, 40, 80, 160, 400, 900), (1.2, 0.9, 0.7, 0.5, 0.3, 0.1)


class Network(NamedTuple):
    """Logits of a network on images, and their right labels."""

    calibration: str
    logits: NDArray[np.float64]
    labels: NDArray[np.int64]


def draw(kind: str, m: float, count: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits of simulated images, and their classes."""
    random = np.random.default_rng(seed)
    labels, rows = random.integers(KINDS, size=count), np.arange(count)
    noise = random.standard_t(3, (count, KINDS)) if kind == "heavy tails" else random.normal(size=(count, KINDS))
    signal = np.where(random.random(count) < 0.2, m / 4, m) if kind == "hard images" else np.full(count, m)
    noise[rows, labels] += signal
    if kind == "confusable":
        noise[rows, (labels + 1) % KINDS] += np.where(random.random(count) < 0.5, 0.7 * m, 0)
    return noise, labels


def simulated(kind: str) -> Iterator[Network]:
    """Simulated networks of every accuracy and calibration."""
    for accuracy in ACCURACIES:
        m = float(brentq(lambda m: right(*draw(kind, m, LARGE, 0)) - accuracy, 0.1, 60, xtol=0.01))  # noqa: B023
        logits, labels = draw(kind, m, LARGE, 0)
        best = np.exp(minimize_scalar(lambda t: loss(logits * np.exp(-t), labels), bounds=(-4, 4)).x)  # noqa: B023
        for calibration, scale in SCALES.items():
            for seed in range(1, REPEATS + 1):
                logits_here, labels_here = draw(kind, m, IMAGES, seed)
                yield Network(calibration, logits_here / best * scale, labels_here)


def trained(kind: str) -> Iterator[Network]:
    """Perceptrons on digits, from weak to strong."""
    pixels, labels = load_digits(return_X_y=True)
    for few, noise in [(few, 0.0) for few in FEW] if kind == "few digits" else [(900, noise) for noise in NOISES]:
        for seed in range(REPEATS):
            random = np.random.default_rng(seed)
            order = random.permutation(len(labels))
            seen = pixels / 16 + noise * random.normal(size=pixels.shape)
            learned, test = order[:few], order[-IMAGES:]
            network = MLPClassifier(64, max_iter=300, random_state=seed, tol=0).fit(seen[learned], labels[learned])
            if len(network.classes_) == KINDS:
                yield Network("as trained", np.log(network.predict_proba(seen[test]) + 1e-30), labels[test])


def right(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """The accuracy."""
    return float((logits.argmax(1) == labels).mean())


def loss(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """The cross-entropy."""
    return float(-log_softmax(logits, 1)[np.arange(len(labels)), labels].mean())


def scored(network: Network, share: float, seed: int) -> dict[str, float]:
    """Plant wrong labels; say what was concluded and how many of them are listed, by the check and by cleanlab."""
    random = np.random.default_rng(seed)
    wrong = random.permutation(len(network.labels))[: round(share * len(network.labels))]
    labels = network.labels.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, KINDS, len(wrong))) % KINDS
    found = label_errors(network.logits, labels)
    verdict = verdict_of(found)
    ours = suspects(found)
    theirs = np.flatnonzero(
        find_label_issues(labels, softmax(network.logits, 1), filter_by="confident_learning", n_jobs=1)
    )
    return {
        "one": 1,
        "images": len(labels),
        "share": share,
        "warns or fails": verdict in {Verdict.WARN, Verdict.FAIL},
        "fails": verdict == Verdict.FAIL,
        "inconclusive": verdict == Verdict.INCONCLUSIVE,
        "planted": len(wrong),
        "listed": len(ours),
        "listed right": np.isin(ours, wrong).sum(),
        "cleanlab": len(theirs),
    }


def band(accuracy: float) -> str:
    """The accuracy, roughly."""
    return "below 75%" if accuracy < 0.75 else "75% to 92%" if accuracy < 0.92 else "from 92%"


def print_rows(rows: dict[str, list[dict[str, float]]]) -> None:
    """Print a line for each group of networks: false accusations, then what is found of planted errors."""
    print("| networks | count | right labels: warns or fails, fails, inconclusive | 2%, 5%, 10% wrong: warns or fails |"
          " recall | precision | right labels listed | by cleanlab |")  # fmt: skip
    print("|---|---:|---|---|---|---|---:|---:|")
    for name, runs in rows.items():
        clean, *planted = ([run for run in runs if run["share"] == share] for share in PLANTED)
        cells = [
            ", ".join(ratio(clean, verdict) for verdict in ("warns or fails", "fails", "inconclusive")),
            ", ".join(ratio(each, "warns or fails") for each in planted),
            ", ".join(ratio(each, "listed right", "planted") for each in planted),
            ", ".join(ratio(each, "listed right", "listed") for each in planted),
            ratio(clean, "listed", "images"),
            ratio(clean, "cleanlab", "images"),
        ]
        print("|", " | ".join([name, str(len(clean)), *cells]), "|")


def ratio(runs: list[dict[str, float]], what: str, of: str = "one") -> str:
    """The sum of one number over that of another, in percent."""
    total = sum(run[of] for run in runs)
    return f"{100 * sum(run[what] for run in runs) / total:.3g}%" if total else "none"


def main() -> None:
    """Print one line for each kind and band of accuracy, and one for each calibration."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--held-out", action="store_true")
    warnings.simplefilter("ignore", ConvergenceWarning)
    by_kind, by_calibration = defaultdict(list), defaultdict(list)
    for kind in HELD_OUT if parser.parse_args().held_out else SEEN:
        for seed, network in enumerate((trained if "digits" in kind else simulated)(kind)):
            for share in PLANTED:
                run = scored(network, share, seed)
                by_kind[f"{kind}, {band(right(network.logits, network.labels))}"].append(run)
                by_calibration[network.calibration].append(run)
    print_rows(by_kind)
    print()
    print_rows(by_calibration)


if __name__ == "__main__":
    main()
