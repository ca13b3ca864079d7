"""Retraining the last layer on the features of a network."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.mitigation.reweighing import balanced_rows
from deeptroubles.network import open_network, penultimate_features
from deeptroubles.subject import logits_of

Floats = NDArray[np.float64]

DRAWS = 10
"""The number of layers, each fitted on a different balanced sample, that are averaged."""
_NEVER = -1e4
"""The logit of a class without images."""


@dataclass(frozen=True)
class Head:
    """A last layer: logits are features @ weight.T + bias.

    Attributes:
        weight: K x D.
        bias: K.
    """

    weight: Floats
    bias: Floats

    def logits(self, features: Floats) -> Floats:
        """N x K, of N x D."""
        return features @ self.weight.T + self.bias


def fit_head(features: Floats, classes: NDArray[np.integer], count: int, weights: Floats | None = None) -> Head:
    """Multinomial logistic regression with a penalty of 1 on standardized features.

    Args:
        features: N x D.
        classes: N, from 0 to count - 1; at least two different ones. Missing classes are never predicted.
        count: K, the number of classes.
        weights: N, the weight of each image. Default: 1.
    """
    mean, std = features.mean(0), features.std(0)
    std = np.where(std > 0, std, 1.0)
    model = LogisticRegression(max_iter=5000).fit((features - mean) / std, classes, sample_weight=weights)
    slopes, offsets = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # one line separates two classes
        slopes, offsets = np.concatenate([-slopes, slopes]) / 2, np.concatenate([-offsets, offsets]) / 2
    weight, bias = np.zeros((count, features.shape[1])), np.full(count, _NEVER)
    weight[model.classes_] = slopes / std
    bias[model.classes_] = offsets - weight[model.classes_] @ mean
    return Head(weight, bias)


def balanced_head(
    features: Floats, classes: NDArray[np.integer], groups: NDArray[np.integer], count: int, *, seed: int = 0
) -> Head:
    """The mean of DRAWS last layers, each fitted with equal numbers of every class of every group.

    Args:
        features: N x D.
        classes: N, from 0 to count - 1.
        groups: N, from 0 on.
        count: The number of classes.
        seed: Decides which images are drawn.

    References:
        P. Kirichenko et al.: Last layer re-training is sufficient for robustness to spurious correlations, ICLR 2023
        (deep feature reweighting).
    """
    heads = []
    for draw in range(DRAWS):
        rows = balanced_rows(classes, groups, seed=seed + draw)
        heads.append(fit_head(features[rows], classes[rows], count))
    return Head(np.mean([head.weight for head in heads], axis=0), np.mean([head.bias for head in heads], axis=0))


def with_head(classifier: Classifier, head: Head) -> Classifier:
    """A copy of a classifier with another last layer. The classifier itself stays unchanged.

    Args:
        classifier: Any classifier whose logits are weights times the features before the last layer, plus a bias.
        head: The new layer, K x D and K.

    Raises:
        ModelError: No weights of the classifier turn its last features into its logits.
    """
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(4, classifier.channels, *classifier.size, generator=generator).to(classifier.device)
    features = penultimate_features(open_network(classifier), pixels)
    if features is not None:
        logits = logits_of(classifier, pixels)
        changed = copy.deepcopy(classifier)
        states = [t for t in changed.state_dict().values() if t.shape[:1] == (classifier.classes,)]
        for weight in (t for t in states if t.ndim > 1 and t.flatten(1).shape[1:] == features.shape[1:]):
            for bias in (t for t in states if t.ndim == 1):
                if torch.allclose(features @ weight.flatten(1).T + bias, logits, rtol=1e-3, atol=1e-4):
                    with torch.no_grad():
                        weight.copy_(torch.from_numpy(head.weight).to(weight).view_as(weight))
                        bias.copy_(torch.from_numpy(head.bias).to(bias))
                    return changed
    raise ModelError(
        f"{classifier.name} has no last layer with weights and a bias that can be replaced; use `Head.logits` on its "
        "features instead."
    )
