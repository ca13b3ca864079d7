"""Effects of donor swaps by class and channel of evidence, and the location and name of the cue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.display import Brief
from deeptroubles.methods.reliance.donor_swap import Moves
from deeptroubles.methods.transforms.shared.scenery import GRID, WINDOW_WIDTH
from deeptroubles.statistics.intervals import Interval

Floats = NDArray[np.float64]

FULL_SHARE, NO_SHARE = 0.8, 0.2
"""Shares of the largest effect: from FULL_SHARE a window has the full effect, below NO_SHARE it has none."""
WINDOW_SHARE, PART_SHARE = 0.5, 0.65
"""Shares of the background's effect with which one window, or another part of the background, explains it."""
INNER_SHARE = 0.5
"""A cue is not the frame if an inner window has at least this share of the frame's effect."""


@dataclass(frozen=True, repr=False)
class Effects(Brief):
    """How far each of C channels moves the prediction towards, and away from, each of K classes.

    Attributes:
        classes: K, the classes.
        insertion: K x C, the rise of the class's probability when other images get the channel of its images.
        removal: K x C, the fall of the class's probability when its images get the channel of other classes.
        variance: K x C, the variance of the mean of the two.
        images: K, the number of images of the class.
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
        """An effect with its interval over images; `comparisons` intervals hold simultaneously (Bonferroni)."""
        freedom = max(1, int(self.images[row]) - 1)
        reach = float(stats.t.isf((1 - level) / 2 / comparisons, freedom) * np.sqrt(self.variance[row, channel]))
        value = float(self.effect[row, channel])
        return Interval(value, value - reach, value + reach)


def shortcut_effects(moves: Moves, targets: NDArray[np.int64], donors: NDArray[np.int64]) -> Effects:
    """Average the moves of donor swaps by class.

    Args:
        moves: Moves of N recipients with R donors of other classes each, for C channels.
        targets: N, the recipients' classes.
        donors: N x R, the donors' classes.
    """
    into, lost = moves.into - moves.into_same, moves.kept[:, None] - moves.lost
    classes = np.unique(targets)
    inserted, removed = [], []
    for c in classes:
        donates = donors == c
        rows = donates.any(1)
        weights = donates[rows] / donates[rows].sum(1, keepdims=True)  # every recipient counts once
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
    """Locate the cue from the effect of every window.

    The cue lies in all windows that have the full effect, and in none without an effect.

    Args:
        windows: Rows x columns, the effect of the window with that top left cell.

    Returns:
        Top, left, bottom and right cell, the last two exclusive; None when the windows with the full effect have no
        cell in common, so the cue has no fixed place.
    """
    inside = np.ones((GRID, GRID), dtype=bool)
    for row, column in zip(*np.nonzero(windows >= FULL_SHARE * windows.max()), strict=True):
        inside &= _cells(row, column)
    if not inside.any():
        return None
    left_over = inside.copy()
    for row, column in zip(*np.nonzero(windows < NO_SHARE * windows.max()), strict=True):
        left_over &= ~_cells(row, column)
    rows, columns = np.nonzero(left_over if left_over.any() else inside)
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


def _cells(row: int, column: int) -> NDArray[np.bool_]:
    """The cells that a window covers, GRID x GRID."""
    covered = np.zeros((GRID, GRID), dtype=bool)
    covered[row : row + WINDOW_WIDTH, column : column + WINDOW_WIDTH] = True
    return covered


def _elsewhere(windows: Floats) -> float:
    """The mean effect of the windows that do not overlap with the place; infinite without a place."""
    place = located(windows)
    if place is None:
        return float("inf")
    rows, columns = np.indices(windows.shape)
    top, left, bottom, right = place
    apart = (rows + WINDOW_WIDTH <= top) | (rows >= bottom) | (columns + WINDOW_WIDTH <= left) | (columns >= right)
    return float(windows[apart].mean()) if apart.any() else 0.0


def named(effects: dict[str, float], rises: dict[str, float], windows: Floats) -> str:
    """Name the channel that the prediction relies on: the most specific one that explains the background's effect.

    Args:
        effects: The effect of each channel on one class.
        rises: The effect of inserting each part of the background on that class, for some images.
        windows: The effect of inserting each window of the background into the same images; rows x columns.

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
