"""Which way to read labels, by what the classifier predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom

from deeptroubles.images.labels import LabelMatch, Reading, as_match, readings

ALPHA = 0.01
"""One way is better than another where the sign test, corrected for the number of ways, is below this."""
_ADVICE = "Give the names of the classes, in the order of the model's outputs, with --classes (class_names= in Python)."


def read_labels(
    labels: Sequence[str | None],
    class_names: Sequence[str],
    aliases: Mapping[str, int],
    predicted: NDArray[np.integer],
    *,
    named: bool,
) -> LabelMatch:
    """Match labels to classes; where that is a guess, by the way of reading that the predictions agree with.

    Two ways are compared on the images on which one is correct and the other is not (sign test). A guess is used if it
    is better than all other ways, and undecided otherwise. It is undecided too if the classes in an order that fits
    half of the images fit the other half better. Labels that name the classes are always taken at their word; if
    another order of the names is better, there is a doubt.

    Args:
        labels: N labels, None where there is none.
        class_names: K names, in the order of the classifier's outputs.
        aliases: Further names of classes, in lower case.
        predicted: N, the most likely class; -1 where it is not known.
        named: Whether the classifier came with names.

    Returns:
        N targets, with what was left unmatched and how they were read.

    References:
        Q. McNemar: Note on the sampling error of the difference between correlated proportions or percentages,
        Psychometrika 1947 (here the exact test).
    """
    found = readings(labels, class_names, aliases, named=named)
    seen = np.array([label is not None for label in labels], dtype=bool) & (predicted >= 0)
    correct = np.array([(way.targets == predicted)[seen] for way in found.ways])
    best = int(correct.sum(1).argmax())
    others = [i for i in range(len(found.ways)) if i != best]
    p = {i: min(1.0, _sign_test(correct[best], correct[i]) * len(others)) for i in others}
    if not found.guessed:
        match = as_match(labels, found.ways[0], guessed=False)
        return match if best == 0 or p[0] >= ALPHA else replace(match, doubt=_doubt(found.ways, correct, best))
    match = as_match(labels, found.ways[best], guessed=True)
    if any(value >= ALPHA for value in p.values()):
        return _undecided(match, f"It is open which class each label means: {_shares(found.ways, correct)}.")
    another = _another_order(labels, seen, predicted, correct[best])
    if another:
        return _undecided(match, f"It is open which class each label means: {another}.")
    if others and seen.any():
        return replace(match, note=f"{match.note[:-1]}: {_shares(found.ways, correct)}.")
    return match


def _undecided(match: LabelMatch, why: str) -> LabelMatch:
    return replace(match, targets=np.full_like(match.targets, -1), unmatched={}, note="", undecided=f"{why} {_ADVICE}")


def _sign_test(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """How probable it is that the first is correct alone as often as this, if both were equally good."""
    ahead, behind = int((one & ~other).sum()), int((other & ~one).sum())
    return float(binom.sf(ahead - 1, ahead + behind, 0.5))


def _shares(ways: Sequence[Reading], correct: NDArray[np.bool_]) -> str:
    """How often the classifier is correct by each way, the best first."""
    order = np.argsort(-correct.sum(1), kind="stable")
    parts = [f"{ways[i].how} the predictions are correct on {100 * correct[i].mean():.0f}%" for i in order]
    return "; ".join(f"read {part} of images" for part in parts)


def _doubt(ways: Sequence[Reading], correct: NDArray[np.bool_], best: int) -> str:
    return (
        f"The order of the class names is probably wrong: by these names the predictions are correct on "
        f"{100 * correct[0].mean():.0f}% of images, {ways[best].how} on {100 * correct[best].mean():.0f}%."
    )


def _another_order(
    labels: Sequence[str | None], seen: NDArray[np.bool_], predicted: NDArray[np.integer], correct: NDArray[np.bool_]
) -> str:
    """The evidence for an unusual order of the classes; '' where there is none.

    Each label gets a class so that the predictions on every second image are correct most often; it is judged on the
    other images.
    """
    given = np.array([label for label, used in zip(labels, seen, strict=True) if used], dtype=object)
    if not len(given):
        return ""
    names, index = np.unique(given.astype(str), return_inverse=True)
    guesses = predicted[seen]
    counts = np.zeros((len(names), int(guesses.max()) + 1))
    np.add.at(counts, (index[::2], guesses[::2]), 1)
    rows, classes = linear_sum_assignment(-counts)
    order = np.full(len(names), -1)
    order[rows] = classes
    fits = (order[index] == guesses)[1::2]
    if _sign_test(fits, correct[1::2]) >= ALPHA:
        return ""
    label = int(counts.max(1).argmax())
    return (
        f"the usual orders are correct on {100 * correct.mean():.0f}% of images, and another order on "
        f"{100 * fits.mean():.0f}% (images labelled {names[label]} are mostly predicted as class {order[label]})"
    )
