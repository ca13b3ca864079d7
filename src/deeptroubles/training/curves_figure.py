"""Learning curves as a picture."""

from __future__ import annotations

import io

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

COLORS = {"training": "#0072b2", "validation": "#d55e00"}
"""Of Okabe and Ito: told apart by people with any color vision."""
LINES = {"training": "--", "validation": "-"}


def curves_figure(curves: pd.DataFrame) -> bytes:
    """Draw loss and accuracy of training and validation over the epochs, side by side.

    Args:
        curves: One row per epoch, with columns `epoch`, `training loss`, `validation loss`, `validation accuracy` and
            maybe `training accuracy`.

    Returns:
        A PNG file of 1120 x 420 pixels. The epoch with the lowest validation loss is marked.
    """
    figure = Figure(figsize=(8, 3), dpi=140, layout="constrained")
    best = int(curves["epoch"].iloc[curves["validation loss"].argmin()])
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, color in COLORS.items():
            if (name := f"{part} {quantity}") in curves:
                axes.plot(curves["epoch"], curves[name], LINES[part], color=color, marker=".", label=part)
        axes.axvline(best, color="#999999", linewidth=1, zorder=0, label="kept")
        axes.set(xlabel="epoch", title=quantity, ylim=(0, 1) if quantity == "accuracy" else (0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
