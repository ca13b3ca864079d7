"""The published detectors that the benchmark of planted cues compares with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benchmarks import detectors
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from torch import nn

from deeptroubles import Classifier
from deeptroubles.methods.attribution.lrp import lrp
from deeptroubles.methods.clustering.spray import MIN_HEATMAPS, cluster_heatmaps, small_heatmaps
from tests.digits import trained, unseen


def test_spray_scores_the_worst_class():
    classifier = trained()
    images, targets = unseen(40)
    targets = targets % 2
    clusters = [cluster_heatmaps(small_heatmaps(lrp(classifier, images[targets == k], k))) for k in (0, 1)]
    gaps = [c.gap if c.count > 1 else 0 for c in clusters]
    assert detectors.eigengap(classifier, images, targets) == pytest.approx(max(gaps), abs=1e-9)
    assert detectors.fisher_tau(classifier, images, targets) == pytest.approx(max(max(c.fisher) for c in clusters))
    assert detectors.eigengap(classifier, images[: MIN_HEATMAPS - 1], targets[: MIN_HEATMAPS - 1] * 0) == 0


def test_tcav_scores_high_only_if_the_model_uses_the_concept():
    random = torch.Generator().manual_seed(0)
    images, concept = torch.rand(120, 2, 3, 8, 8, generator=random)[:, 0] / 2, torch.rand(30, 3, 8, 8, generator=random)
    images[::2, 0] += 0.3
    concept[:, 1:] *= 0.5
    concept[:, 0] = concept[:, 0] / 2 + 0.5
    scores = []
    for channel in (0, 2):
        network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        with torch.no_grad():
            network[0].weight.copy_(torch.eye(3)[:, :, None, None])
            network[0].bias.zero_()
            network[4].weight.zero_()
            network[4].weight[1, channel] = 10
        classifier = Classifier(network, size=8).eval()
        scores.append(detectors.tcav(classifier, images, classifier(images).argmax(1), concept))
    assert scores[0] > 1
    assert scores[1] < 0.2


def test_datalabs_baseline_flags_noise_and_the_corrected_one_does_not():
    random = np.random.default_rng(0)
    classes = np.repeat([0, 1], [80, 20])
    values = random.normal(size=(100, 1))
    accuracy = (cross_val_predict(GaussianNB(), values, classes, cv=LeaveOneOut()) == classes).mean()
    theirs = (1 - accuracy) / (1 - np.bincount(classes).argmax() / 100)  # argmax where max is meant
    assert theirs < 0.3  # which is their threshold
    images = torch.from_numpy(random.random((100, 3, 12, 12))).float()
    assert detectors.datalab(images, torch.from_numpy(classes)) < 0.2


def test_datalab_finds_brightness_that_tells_the_class():
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random((90, 3, 12, 12))).float() * 0.5
    classes = torch.arange(90) % 3
    images += 0.25 * classes[:, None, None, None]
    assert detectors.datalab(images, classes) == 1
