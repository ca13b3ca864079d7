from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.statistics.calibration import calibration_error, expected_calibration_error
from tests.networks import formula


def coins(count: int = 800, seed: int = 3) -> ImageSet:
    """Gray images; the brighter one is, the more often its label is 'head', by a known law."""
    random = np.random.default_rng(seed)
    gray = random.integers(0, 256, count).astype(np.uint8)
    chance = 1 / (1 + np.exp(-6 * (gray / 255 - 0.5)))
    labels = np.where(random.random(count) < chance, "head", "tail")
    return ImageSet.from_arrays(np.broadcast_to(gray[:, None, None], (count, 4, 4)).copy(), labels.tolist())


def model(sharpness: float):
    def answer(x):
        logit = 6 * (x.mean((1, 2, 3)) - 0.5) * sharpness
        return torch.stack([logit, torch.zeros_like(logit)], 1)

    return formula(answer, 4, 1, ("head", "tail"))


def planted():
    """As accurate as possible, with logits five times too large."""
    return model(5.0), coins()


def clean():
    """The probabilities are the law by which the labels were drawn."""
    return model(1.0), coins()


def test_constant_confidence_in_closed_form():
    confidence, correct = np.full(50, 0.9), np.r_[np.ones(30), np.zeros(20)]
    assert np.isclose(expected_calibration_error(confidence, correct), 0.3)


def test_two_bins_in_closed_form():
    confidence, correct = np.r_[np.full(10, 0.55), np.full(30, 0.95)], np.r_[np.ones(5), np.zeros(5), np.ones(30)]
    assert np.isclose(expected_calibration_error(confidence, correct), (10 * 0.05 + 30 * 0.05) / 40)


def test_chance_is_subtracted():
    random = np.random.default_rng(0)
    plain, corrected = [], []
    for seed in range(20):
        confidence = random.beta(4, 1.5, 100)
        found = calibration_error(confidence, random.random(100) < confidence, seed=seed, resamples=200)
        plain.append(found.plain)
        corrected.append(found.corrected)
    assert np.mean(plain) > 0.07  # what everybody reports for a perfect classifier on 100 images
    assert np.mean([c.value for c in corrected]) < 0.02
    assert sum(c.low > 0.0 for c in corrected) <= 2  # 0 lies in the 95 % interval


def test_interval_covers_a_known_error():
    random = np.random.default_rng(1)
    covered = 0
    for seed in range(20):
        confidence = random.uniform(0.6, 1.0, 500)
        found = calibration_error(confidence, random.random(500) < confidence - 0.15, seed=seed, resamples=200)
        covered += found.corrected.low <= 0.15 <= found.corrected.high
    assert covered >= 17


def test_small_samples_of_a_calibrated_model_do_not_fail_or_warn():
    classifier, _ = clean()
    verdicts = [
        audit(classifier, coins(60, seed), checks=["performance.calibration"]).findings[0].verdict for seed in range(8)
    ]
    assert not {Verdict.FAIL, Verdict.WARN} & set(verdicts)
