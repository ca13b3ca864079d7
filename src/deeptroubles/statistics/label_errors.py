"""How many labels are wrong, by a classifier that is calibrated at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.interpolate import CubicSpline
from scipy.special import log_softmax

from deeptroubles.statistics.intervals import Interval, wilson

Floats = NDArray[np.float64]

_LOG_TEMPERATURES = np.log(np.geomspace(0.02, 200, 61))
"""In units of the standard deviation of the logits of an image, averaged over images."""
_STARTS = np.concatenate([[0.0], np.geomspace(0.004, 1, 11)])
"""Where the search for the share of wrong labels begins, in parts of the largest possible share."""
_EQUALLY_LIKELY = 1e-3
"""Log-likelihoods that differ by less are equal."""


@dataclass(frozen=True)
class LabelErrors:
    """What `label_errors` found.

    Attributes:
        share: The share of wrong labels, with its profile likelihood interval.
        temperature: What the logits are divided by to be calibrated; above 1 the classifier is overconfident.
        own_mistakes: The mean probability that the calibrated classifier's most likely class is not the true one.
        suspicion: N, the probability that each label is wrong, by what was fitted on the other folds.
        second: N, whether each label is the second most likely class.
        classes: K.
    """

    share: Interval
    temperature: float
    own_mistakes: float
    suspicion: Floats
    second: NDArray[np.bool_]
    classes: int

    def second_share(self, rows: NDArray[np.integer]) -> Interval:
        """How much more often than by chance the labels of some images are the second most likely class.

        A label that was replaced at random is the second most likely class 1 time in K - 1; one that the classifier
        mistakes, more often. 0 is chance and 1 is always. With two classes it is 0: there is nothing to compare.
        """
        chance = 1 / (self.classes - 1)
        if chance == 1:
            return Interval(0.0, 0.0, 0.0)
        seen = wilson(int(self.second[rows].sum()), len(rows))
        return Interval(*((share - chance) / (1 - chance) for share in seen))


def label_errors(
    logits: NDArray[Any], labels: NDArray[np.integer], *, folds: int = 5, level: float = 0.95
) -> LabelErrors:
    """Estimate the share of wrong labels, and how likely each of them is wrong.

    The true class of an image is distributed as softmax(logits / T), and a share e of the labels is replaced by another
    class at random: a label y has the probability (1 - e) p(y) + e (1 - p(y)) / (K - 1). The temperature T and e are
    those of the highest likelihood. They can be separated because a temperature explains mistakes between classes that
    are about equally likely, and wrong labels also occur where the classifier is confident.

    T and e are fitted together: a temperature that is fitted alone rises with every wrong label and explains it away.
    The suspicion of a label and the classifier's own mistakes use the T and e of the other folds; every `folds`-th
    image is in the same fold.

    Args:
        logits: N x K, K at least 2, ideally for images that were not used in training.
        labels: N, from 0 to K - 1.
        folds: Number of folds, at least 2.
        level: Level of the interval.

    Returns:
        The share, the temperature and the suspicions.

    References:
        C. Guo et al.: On calibration of modern neural networks, ICML 2017 (temperature scaling).
        D. Angluin, P. Laird: Learning from noisy examples, Machine Learning 1988 (labels replaced at random).
        G. Patrini et al.: Making deep neural networks robust to label noise, CVPR 2017 (forward correction).
    """
    scores = np.asarray(logits, dtype=np.float64)
    unit = float(scores.std(1).mean()) or 1.0
    own, highest = _label_and_highest(scores / unit, labels)
    everything = _Mixture(own, scores.shape[1])
    log_t, share = everything.fit()
    suspicion, mistakes = np.empty((2, len(labels)))
    fold = np.arange(len(labels)) % folds
    for held_out in np.unique(fold):
        inside = fold == held_out
        others = everything if inside.all() else _Mixture(own[:, ~inside], scores.shape[1])
        t, e = others.fit()
        suspicion[inside] = _Mixture(own[:, inside], scores.shape[1]).wrong(t, e)
        mistakes[inside] = 1 - np.exp(CubicSpline(_LOG_TEMPERATURES, highest[:, inside])(t))
    return LabelErrors(
        share=everything.interval(share, level),
        temperature=unit * float(np.exp(log_t)),
        own_mistakes=float(mistakes.mean()),
        suspicion=suspicion,
        second=(scores > scores[np.arange(len(labels)), labels, None]).sum(1) == 1,
        classes=scores.shape[1],
    )


def _label_and_highest(scores: Floats, labels: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """The log-probabilities of the label and of the most likely class at every temperature, each T x N."""
    own, highest = np.empty((2, len(_LOG_TEMPERATURES), len(scores)))
    for i, log_t in enumerate(_LOG_TEMPERATURES):
        logs = log_softmax(scores / np.exp(log_t), axis=1)
        own[i], highest[i] = logs[np.arange(len(labels)), labels], logs.max(1)
    return own, highest


class _Mixture:
    """Labels that are drawn from softmax(logits / T), of which a share e is replaced by another class at random."""

    def __init__(self, own: Floats, kinds: int) -> None:
        self.own, self.others = own, kinds - 1
        self.most = 1 - 1 / kinds
        self._curve = CubicSpline(_LOG_TEMPERATURES, own)

    def log_likelihood(self, own: Floats, e: float) -> Any:
        """Of labels with these log-probabilities, ... x N; summed over N."""
        p = np.exp(np.minimum(own, 0))
        return np.log(np.maximum((1 - e) * p + e * (1 - p) / self.others, 1e-300)).sum(-1)

    def wrong(self, log_t: float, e: float) -> Floats:
        """The probability that each label was replaced. N."""
        p = np.exp(np.minimum(self._curve(log_t), 0))
        replaced = e * (1 - p) / self.others
        return np.asarray(replaced / np.maximum((1 - e) * p + replaced, 1e-300), dtype=np.float64)

    def best(self, e: float) -> tuple[float, float]:
        """The logarithm of the most likely temperature for a share, and its log-likelihood."""
        coarse = self.log_likelihood(self.own, e)
        i = int(coarse.argmax())
        ends = _LOG_TEMPERATURES[max(0, i - 1)], _LOG_TEMPERATURES[min(len(coarse) - 1, i + 1)]
        fine = optimize.minimize_scalar(
            lambda t: -self.log_likelihood(self._curve(t), e), bounds=ends, method="bounded", options={"xatol": 1e-4}
        )
        if -fine.fun < coarse[i]:
            return float(_LOG_TEMPERATURES[i]), float(coarse[i])
        return float(fine.x), -float(fine.fun)

    def fit(self) -> tuple[float, float]:
        """The logarithm of the most likely temperature, and the most likely share; of equally likely ones the least."""
        shares = _STARTS * self.most
        coarse = np.array([self.log_likelihood(self.own, e) for e in shares])
        i = int(np.argmax(coarse.max(1) >= coarse.max() - _EQUALLY_LIKELY))
        start = [float(_LOG_TEMPERATURES[int(coarse[i].argmax())]), float(shares[i])]
        fine = optimize.minimize(  # type: ignore[call-overload]  # the stubs miss this combination
            lambda x: -float(self.log_likelihood(self._curve(x[0]), x[1])),
            start,
            method="Nelder-Mead",
            bounds=optimize.Bounds([_LOG_TEMPERATURES[0], 0.0], [_LOG_TEMPERATURES[-1], self.most]),
        )
        none = self.best(0.0)
        if none[1] >= -fine.fun - _EQUALLY_LIKELY:
            return none[0], 0.0
        return float(fine.x[0]), float(fine.x[1])

    def interval(self, share: float, level: float) -> Interval:
        """The shares whose profile likelihood is not significantly lower than that of the most likely one."""
        least = self.best(share)[1] - float(stats.chi2.ppf(level, 1)) / 2

        def above(e: float) -> float:
            return self.best(e)[1] - least

        low = 0.0 if above(0.0) >= 0 else optimize.brentq(above, 0.0, share, xtol=1e-5)
        high = self.most if above(self.most) >= 0 else optimize.brentq(above, share, self.most, xtol=1e-5)
        return Interval(share, float(low), float(high))
