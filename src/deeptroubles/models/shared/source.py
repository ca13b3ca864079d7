"""How a place that classifiers come from is declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.models.shared.overrides import Overrides


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that classifiers come from.

    Attributes:
        form: How it is written on the command line.
        what: What it is.
        brings: What it knows about the model; the rest is given by hand.
        pattern: Which sources are of this form; its group is the name that `load` gets.
        load: Loads one.
        skeleton: Makes the same network with any weights, without loading the trained ones; None: `load` must do.
        fits: Whether a name that has the pattern is of this form.
        module: Loads the network alone, which need not be a classifier; None where the source gives classifiers only.
        runs_code: Loading it runs code that came with the model, so the model must be trusted.
        extra: The optional dependency it needs, as in `pip install "deeptroubles[extra]"`.
        takes_weights: It also reads weights from a local file.
        general: Its pattern also fits sources of other forms, so it is tried last.
    """

    form: str
    what: str
    brings: str
    pattern: str
    load: Callable[[str, Overrides], Classifier]
    skeleton: Callable[[str, Overrides], Classifier] | None = None
    fits: Callable[[str], bool] = lambda _name: True
    module: Callable[[str], nn.Module] | None = None
    runs_code: bool = False
    extra: str | None = None
    takes_weights: bool = False
    general: bool = False
