"""A model that `deeptroubles train` made: a folder with `model.json`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.findings import Curve, Series
from deeptroubles.methods.surgery.anti_aliased import anti_aliased
from deeptroubles.methods.surgery.gap_head import gap_head
from deeptroubles.methods.surgery.new_head import new_head
from deeptroubles.models.shared.model_folder import CURVES, FACTS, HELD_OUT, ModelFacts, fill, read_facts
from deeptroubles.models.shared.overrides import Overrides
from deeptroubles.models.shared.source import Source


def load(name: str, overrides: Overrides) -> Classifier:
    """Rebuild the network and fill in its weights. No code of the folder runs."""
    folder = Path(name)
    facts = read_facts(folder)
    if overrides:
        raise ModelError(f"{folder} knows its size, preprocessing and classes; leave out {', '.join(overrides)}.")
    if facts.code:
        raise ModelError(
            f"{folder} is built by {facts.base}, which is code, and a folder cannot ask to run code. Return it from a "
            f"function of yours and name that: load_trained({name!r}, build()) in Python."
        )
    from deeptroubles.models import load_skeleton  # noqa: PLC0415 (which lists this file)

    return rebuilt(folder, load_skeleton(facts.base, **facts.settings), facts)


def load_trained(folder: Path | str, base: Classifier) -> Classifier:
    """Load a trained model whose network is built by code of yours.

    Args:
        folder: What `deeptroubles train` wrote.
        base: The network that was trained; its weights do not matter.

    Raises:
        ModelError: The folder holds no model, or its weights do not fit the network.
    """
    return rebuilt(Path(folder), base, read_facts(Path(folder)))


def rebuilt(folder: Path, base: Classifier, facts: ModelFacts) -> Classifier:
    """The trained network, from the one that training began with."""
    classifier = fill(operated(base, facts), folder)
    classifier.name, classifier.source = facts.name, str(folder)
    return classifier


def operated(base: Classifier, facts: ModelFacts, *, seed: int = 0) -> Classifier:
    """The network that is trained: with its new head and whatever else is changed in it; nothing is trained yet."""
    with_head = gap_head if facts.head == "gap" else new_head
    changed = with_head(base, facts.class_names, seed=seed)
    return anti_aliased(changed) if facts.anti_aliased else changed


def held_out_images(source: str) -> str | None:
    """The manifest of images that training never saw, if the source is a folder that has one."""
    manifest = Path(source) / HELD_OUT
    return str(manifest) if (Path(source) / FACTS).is_file() and manifest.is_file() else None


def learning_curves(source: str) -> list[Curve]:
    """Loss and accuracy by epoch, if the source is a folder that has them."""
    file = Path(source) / CURVES
    if not (Path(source) / FACTS).is_file() or not file.is_file():
        return []
    try:
        scores = pd.read_csv(file)
        return [_curve(scores, quantity) for quantity in ("loss", "accuracy")]
    except (OSError, ValueError, KeyError):
        return []  # a file of this name that training did not write


def _curve(scores: pd.DataFrame, quantity: str) -> Curve:
    epochs = scores["epoch"].astype(float).tolist()
    series = [
        Series(name=part, x=epochs, y=scores[column].astype(float).tolist())
        for part in ("validation", "training")  # the one that every quantity has comes first: one color
        if (column := f"{part} {quantity}") in scores
    ]
    return Curve(title=quantity.capitalize(), x_label="epoch", y_label=quantity, series=series)


SOURCE = Source(
    form="FOLDER",
    what="a model that `deeptroubles train` made",
    brings="weights, preprocessing, class names, and images that training never saw",
    pattern="(.+)",
    fits=lambda name: (Path(name) / FACTS).is_file(),
    load=load,
    general=True,
)
