"""Classifiers on features that are not learned: fitted on some images, or on each part of them without its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC
from torch import Tensor

from deeptroubles.methods.baselines.color_histogram import color_histogram
from deeptroubles.methods.baselines.hog import hog
from deeptroubles.methods.baselines.sift import sift
from deeptroubles.methods.baselines.visual_words import fit_vocabulary, visual_words
from deeptroubles.methods.parameters import Seed, Several
from deeptroubles.progress import track


@dataclass(frozen=True)
class Baseline:
    """A classifier that needs no learned features.

    Attributes:
        title: What it is.
        features: Computes the features of images (N x C x H x W): an array with one row per image.
        new: The classifier before it is fitted, from a seed.
    """

    title: str
    features: Callable[[Tensor], NDArray[np.generic]]
    new: Callable[[int], Pipeline]


class VisualWords(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Descriptors to histograms of the visual words that were found in the images it was fitted on."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, descriptors: NDArray[np.uint8], classes: object = None) -> VisualWords:
        """Find the words."""
        self.vocabulary_ = fit_vocabulary(descriptors, seed=self.seed)
        return self

    def transform(self, descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Count them."""
        return visual_words(descriptors, self.vocabulary_)


def _hog_svm(seed: int) -> Pipeline:
    return make_pipeline(LinearSVC(C=0.01, random_state=seed))


def _sift_svm(seed: int) -> Pipeline:
    return make_pipeline(VisualWords(seed), LinearSVC(C=0.3, random_state=seed))


def _color_regression(seed: int) -> Pipeline:
    regression = LogisticRegression(C=0.1, max_iter=5000, random_state=seed)
    return make_pipeline(FunctionTransformer(np.sqrt), StandardScaler(), regression)


BASELINES = {
    "hog": Baseline("HOG + linear SVM", hog, _hog_svm),
    "sift": Baseline("SIFT words + linear SVM", sift, _sift_svm),
    "color": Baseline("color histogram + logistic regression", color_histogram, _color_regression),
}


def fit_baseline(name: str, features: NDArray[np.generic], classes: NDArray[np.integer], *, seed: Seed = 0) -> Pipeline:
    """Fit a baseline with its fixed settings.

    Args:
        name: One of BASELINES: `hog` (linear SVM), `sift` (bag of visual words, linear SVM) or `color` (histogram,
            logistic regression on standardized square roots).
        features: The output of its `features` for N images.
        classes: N, any whole numbers; at least two different ones.
        seed: Decides the vocabulary and the order in which the SVM sees images.

    Returns:
        A pipeline of scikit-learn, whose `predict` takes features of other images.

    References:
        N. Dalal, B. Triggs: Histograms of oriented gradients for human detection, CVPR 2005; G. Csurka et al.: Visual
        categorization with bags of keypoints, ECCV workshop 2004; M. Swain, D. Ballard: Color indexing, IJCV 1991.
    """
    return BASELINES[name].new(seed).fit(features, classes)


def out_of_fold(
    name: str,
    features: NDArray[np.generic],
    classes: NDArray[np.integer],
    groups: NDArray[np.integer],
    *,
    folds: Several = 5,
    seed: Seed = 0,
) -> NDArray[np.int64]:
    """Predict each image by a baseline that was fitted without its group, in stratified folds.

    Args:
        name: One of BASELINES.
        features: The output of its `features` for N images.
        classes: N; each class needs images of at least as many groups as there are folds.
        groups: N; images of one group, such as near-duplicates, are in the same fold.
        folds: The number of folds.
        seed: Seed of the folds, and of `fit_baseline`.

    Returns:
        N predicted classes.
    """
    predicted = np.zeros(len(classes), dtype=np.int64)
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = list(cut.split(np.zeros(len(classes)), classes, groups))
    for seen, unseen in track(parts, f"Fitting {BASELINES[name].title}"):
        predicted[unseen] = fit_baseline(name, features[seen], classes[seen], seed=seed).predict(features[unseen])
    return predicted
