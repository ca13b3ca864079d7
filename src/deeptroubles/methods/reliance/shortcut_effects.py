"""From the answers after donor swaps to effects per class and channel, to a place, and to a name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.methods.reliance.donor_swap import Moves
from deeptroubles.methods.transforms.shared.scenery import GRID, WINDOW_WIDTH
from deeptroubles.statistics.intervals import Interval

Floats = NDArray[np.float64]

FULL_SHARE, NO_SHARE = 0.8, 0.2
"""A window has the full effect when it has so much of the largest one, and hardly any when it has less than that."""
WINDOW_SHARE, PART_SHARE = 0.5, 0.65
"""One window, or another part of the background, explains the effect of the whole when it has so much of it."""
INNER_SHARE = 0.5
"""What also works inside of an image, with so much of the effect of the frame, is not the frame."""


@dataclass(frozen=True)
class Effects:
    """How far each of C channels moves the answer towards, and away from, each of K classes.

    Attributes:
        classes: K, which classes.
        insertion: K x C, the rise of the class's probability when other images get the channel from images of it.
        removal: K x C, the fall of the class's probability when its images get the channel from other classes.
        variance: K x C, of the mean of the two.
        images: K, how many images of the class there are.
    """

    classes: NDArray[np.int64]
    insertion: Floats
    removal: Floats
    variance: Floats
    images: NDArray[np.int64]

    @property
    def effect(self) -> Floats:
        """K x C: the mean of insertion and removal."""
        return (self.insertion + self.removal) / 2

    def interval(self, row: int, channel: int, comparisons: int = 1, level: float = 0.95) -> Interval:
        """An effect with its interval over images; with `comparisons` intervals, all hold at once (Bonferroni)."""
        freedom = max(1, int(self.images[row]) - 1)
        reach = float(stats.t.isf((1 - level) / 2 / comparisons, freedom) * np.sqrt(self.variance[row, channel]))
        value = float(self.effect[row, channel])
        return Interval(value, value - reach, value + reach)


def shortcut_effects(moves: Moves, targets: NDArray[np.int64], donors: NDArray[np.int64]) -> Effects:
    """Average the moves of donor swaps, class by class.

    Args:
        moves: Of N recipients with R donors of other classes each, for C channels.
        targets: N, the recipients' classes.
        donors: N x R, the donors' classes.
    """
    into, lost = moves.into - moves.into_same, moves.kept[:, None] - moves.lost
    classes = np.unique(targets)
    inserted, removed = [], []
    for c in classes:
        given = donors == c  # of the recipients that get something from this class, each counts once
        rows = given.any(1)
        weights = given[rows] / given[rows].sum(1, keepdims=True)
        inserted.append(_mean((into[rows] * weights[..., None]).sum(1)))
        removed.append(_mean(lost[targets == c].mean(1)))
    variance = np.stack([(a[1] + b[1]) / 4 for a, b in zip(inserted, removed, strict=True)])
    counts = np.array([(targets == c).sum() for c in classes])
    return Effects(classes, np.stack([a[0] for a in inserted]), np.stack([b[0] for b in removed]), variance, counts)


def _mean(values: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The mean over rows, and its variance (infinite with fewer than two rows)."""
    values = values.astype(np.float64)
    if len(values) < 2:
        return np.nan_to_num(values.sum(0)), np.full(values.shape[1], np.inf)
    return values.mean(0), values.var(0, ddof=1) / len(values)


def located(windows: Floats) -> tuple[int, int, int, int] | None:
    """Where the cue is, from the effect of every window.

    The cue lies in all windows that have the full effect, and in none that have hardly any.

    Args:
        windows: Rows x columns, the effect of the window whose top left corner is there.

    Returns:
        Top, left, bottom and right in steps (the last two not in it any more); None when the windows with the full
        effect have nothing in common, so that the cue is not at one place.
    """
    inside = np.ones((GRID, GRID), dtype=bool)
    for row, column in zip(*np.nonzero(windows >= FULL_SHARE * windows.max()), strict=True):
        inside &= _steps(row, column)
    if not inside.any():
        return None
    left_over = inside.copy()
    for row, column in zip(*np.nonzero(windows < NO_SHARE * windows.max()), strict=True):
        left_over &= ~_steps(row, column)
    rows, columns = np.nonzero(left_over if left_over.any() else inside)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def _steps(row: int, column: int) -> NDArray[np.bool_]:
    """The steps that a window covers, GRID x GRID."""
    covered = np.zeros((GRID, GRID), dtype=bool)
    covered[row : row + WINDOW_WIDTH, column : column + WINDOW_WIDTH] = True
    return covered


def _elsewhere(windows: Floats) -> float:
    """The mean effect of the windows that have nothing in common with the place; infinite without a place."""
    place = located(windows)
    if place is None:
        return float("inf")
    rows, columns = np.indices(windows.shape)
    top, left, bottom, right = place
    apart = (rows + WINDOW_WIDTH <= top) | (rows >= bottom) | (columns + WINDOW_WIDTH <= left) | (columns >= right)
    return float(windows[apart].mean()) if apart.any() else 0.0


def named(effects: dict[str, float], rises: dict[str, float], windows: Floats) -> str:
    """Name the channel that the answer hangs on, the most specific one that explains the effect of the background.

    Args:
        effects: The effect of each channel on one class.
        rises: The effect of inserting each part of the background on that class, for some images.
        windows: The effect of inserting every window of the background in the same images; rows x columns.

    Returns:
        A key of `effects`, or `window`.
    """
    best = max(effects, key=effects.__getitem__)
    if best in {"position", "inner texture"}:
        return best
    whole = max(rises.values())
    if windows.max() >= WINDOW_SHARE * whole and _elsewhere(windows) <= INNER_SHARE * windows.max():
        return "window"
    parts = {name: rise for name, rise in rises.items() if name != "background"}
    within = windows[1 : GRID - WINDOW_WIDTH, 1 : GRID - WINDOW_WIDTH].max()  # these touch no border
    if within >= INNER_SHARE * parts["frame"]:
        del parts["frame"]
    part = max(parts, key=parts.__getitem__)
    return part if parts[part] >= PART_SHARE * whole else "background"
