"""What is made for units rather than found in images: pictures, dreams, caricatures and texts, kept in a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.engine import Engine
from deeptroubles.methods.units.activation_maximization import Visualization, activation_maximization
from deeptroubles.methods.units.caricature import caricature
from deeptroubles.methods.units.deep_dream import deep_dream
from deeptroubles.methods.units.index_units import LayerIndex, UnitIndex, index_units
from deeptroubles.methods.units.maximize_text import maximize_text
from deeptroubles.methods.units.shared.texts import TextTower, unit_direction
from deeptroubles.methods.units.visualization_trust import MIN_NATURAL, visualization_trust
from deeptroubles.network import LOGITS, open_network
from deeptroubles.pictures import sprite
from deeptroubles.progress import track
from deeptroubles.run.unit_store import SpriteSource, UnitStore
from deeptroubles.subject import Subject

Objective = Literal["channel", "neuron", "negative", "diversity"]
"""What a picture is made for: the mean over all positions, one position in the center, as little as possible, or
pictures that differ from each other."""
STARTS = {"channel": 2, "neuron": 2, "negative": 2, "diversity": 4}
"""Pictures that are made for a unit, from different noise: whether they agree is part of their trust."""
DIVERSITY = 0.3
"""What a picture loses that is like the others of its unit, as a share of the strongest image's activation: about that
image's mean over positions. Chosen on one unit of a CIFAR-10 ResNet, where with the mean the similarity of four
pictures fell from 0.96 to 0.50 and all of them excited the unit more than the strongest image did; not measured on
others."""
AT_ONCE = 16
"""Units that are drawn and kept together: an interrupted run is resumed after the last of them."""
PAGE = 32
"""Rows of pictures in one file."""


def keep_pictures(
    store: UnitStore,
    subject: Subject,
    engine: Engine,
    index: UnitIndex,
    layer: LayerIndex,
    units: Sequence[int],
    objective: Objective,
    *,
    steps: int,
    seed: int,
) -> None:
    """Pictures made for units, how the units respond to them, and how far those for channels can be trusted."""
    settings = {"objective": objective, "steps": steps, "seed": seed, "starts": STARTS[objective]}
    for part in _missing(store, layer.layer, "activation_maximization", settings, units):
        drawn = _drawn(subject.classifier, layer, part, objective, steps, seed)
        starts = STARTS[objective]
        pictures, reached = drawn.images.cpu().numpy(), drawn.activations.cpu().numpy()
        table = pd.DataFrame(
            {
                "unit": np.repeat(part, starts),
                "start": np.tile(np.arange(starts), len(part)),
                "activation": reached,
                "converged": drawn.converged.cpu().numpy(),
                "dead": drawn.dead.cpu().numpy(),
            }
        )
        natural = np.repeat(layer.maximum[part], starts)
        positive = (natural > 0) & (objective != "negative")
        table["fraction"] = np.divide(reached, natural, out=np.full_like(reached, np.nan), where=positive)
        if objective == "channel":
            for name, values in _trust(subject, engine, index, layer, part, pictures, reached, seed).items():
                table[name] = np.repeat(values, starts)
        store.keep(
            layer.layer,
            "activation_maximization",
            {"units": part, **settings},
            table,
            None,
            _sheet(subject.classifier, pictures),
        )


def _drawn(
    classifier: Classifier, layer: LayerIndex, units: list[int], objective: Objective, steps: int, seed: int
) -> Visualization:
    wanted = [unit for unit in units for _ in range(STARTS[objective])]
    if objective != "diversity":
        return activation_maximization(
            classifier,
            layer.layer,
            wanted,
            objective="neuron" if objective == "neuron" else "channel",
            negative=objective == "negative",
            steps=steps,
            seed=seed,
        )
    parts = [
        activation_maximization(
            classifier,
            layer.layer,
            [unit] * STARTS[objective],
            diversity=max(DIVERSITY * float(layer.maximum[unit]), 1e-3),
            steps=steps,
            seed=seed,
        )
        for unit in units
    ]
    fields = ("images", "activations", "start_activations", "converged", "dead")
    joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in fields}
    return Visualization(layer=layer.layer, units=tuple(wanted), **joined)


def keep_dream(store: UnitStore, subject: Subject, layer: str, unit: int | None, row: int, seed: int) -> None:
    """An image, changed so that it excites a unit (None: the whole layer) more."""
    parameters = {"unit": unit, "row": row, "seed": seed}
    if not store.find(layer, "deep_dream", parameters):
        made = deep_dream(
            subject.classifier, subject.pixels([row])[0], layer, None if unit is None else [unit], seed=seed
        )
        _keep_one(store, subject, layer, "deep_dream", parameters, made)


def keep_caricature(store: UnitStore, subject: Subject, layer: str, row: int, steps: int, seed: int) -> None:
    """A picture that excites a layer as an image does, only more so."""
    parameters = {"row": row, "steps": steps, "seed": seed}
    if not store.find(layer, "caricature", parameters):
        made = caricature(subject.classifier, subject.pixels([row])[0], layer, steps=steps, seed=seed)
        _keep_one(store, subject, layer, "caricature", parameters, made)


def keep_texts(
    store: UnitStore,
    subject: Subject,
    engine: Engine,
    layer: LayerIndex,
    units: Sequence[int],
    tower: TextTower,
    *,
    seed: int,
) -> None:
    """The texts that point in the direction in which each unit's activation grows, in the space of images and texts."""
    embeddings = torch.from_numpy(index_units(subject, engine, [tower.layer], seed=seed).layers[tower.layer].values)
    values = torch.from_numpy(layer.values)
    for part in _missing(store, layer.layer, "texts", {}, units):
        rows = [
            {"unit": unit, "text": found.text, "score": found.score}
            for unit in track(part, "Searching texts")
            if len(np.unique(layer.values[:, unit])) > 1
            for found in maximize_text(tower, unit_direction(values[:, unit], embeddings))
        ]
        store.keep(layer.layer, "texts", {"units": part}, pd.DataFrame(rows, columns=["unit", "text", "score"]))


def is_output(classifier: Classifier, layer: str) -> bool:
    """Whether a layer's units are the classes: the last layer, or the logits by name."""
    network = open_network(classifier)
    return layer == LOGITS or (layer == network.layers[-1].name and network.layers[-1].units == classifier.classes)


def _missing(
    store: UnitStore, layer: str, technique: str, settings: dict[str, Any], units: Sequence[int]
) -> Iterator[list[int]]:
    """The units that are not kept yet with these settings, some at a time."""
    kept = {
        unit
        for entry in store.current(layer, technique)
        if {name: value for name, value in entry.parameters.items() if name != "units"} == settings
        for unit in entry.parameters["units"]
    }
    left = [unit for unit in dict.fromkeys(units) if unit not in kept]
    return (left[i : i + AT_ONCE] for i in range(0, len(left), AT_ONCE))


def _keep_one(
    store: UnitStore, subject: Subject, layer: str, technique: str, parameters: dict[str, Any], made: Tensor
) -> None:
    path = str(subject.images.table["path"].iloc[parameters["row"]])
    table = pd.DataFrame({"unit": [parameters.get("unit")], "image": [path]})
    store.keep(layer, technique, parameters, table, None, _sheet(subject.classifier, made.cpu().numpy()[None]))


def _sheet(classifier: Classifier, pictures: NDArray[Any]) -> SpriteSource:
    """Pictures of the model's size, one below the other, without loss."""
    height, width = classifier.size
    pages = (sprite(pictures[i : i + PAGE, None], lossless=True) for i in range(0, len(pictures), PAGE))
    return SpriteSource(pages=pages, height=height, width=width, columns=1, rows=PAGE, count=len(pictures))


def _trust(
    subject: Subject,
    engine: Engine,
    index: UnitIndex,
    layer: LayerIndex,
    units: Sequence[int],
    pictures: NDArray[Any],
    reached: NDArray[Any],
    seed: int,
) -> dict[str, NDArray[np.float64]]:
    """The numbers next to a picture, per unit; none with too few images."""
    if len(index.kept) < MIN_NATURAL:
        return {}
    kept = subject.subset(index.kept)
    shape = (len(units), STARTS["channel"])
    trust = visualization_trust(
        kept,
        engine,
        LOGITS if is_output(subject.classifier, layer.layer) else layer.layer,
        pictures.reshape(*shape, *pictures.shape[1:]),
        reached.reshape(shape),
        layer.values[:, list(units)],
        seed=seed,
    )
    numbers = {"path": trust.path.late}
    for encoder, simulated in trust.simulation.items():
        numbers[f"told_by_{encoder}"] = simulated.accuracy
        numbers[f"told_by_{encoder}_natural"] = simulated.natural.mean(1)
        numbers[f"told_by_{encoder}_random"] = simulated.random.mean(1)
    return numbers | {f"agreement_{encoder}": each.relative for encoder, each in trust.agreement.items()}
