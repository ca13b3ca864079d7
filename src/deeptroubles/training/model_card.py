"""What training leaves: the model, the manifests of its three parts of the images, its curves, and its card."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deeptroubles.checks.wording import percent, plural
from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.images import ImageSet
from deeptroubles.models.shared.model_folder import CURVES, HELD_OUT, ModelFacts, write_model
from deeptroubles.run.files import write_whole
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.training.curves_figure import curves_figure
from deeptroubles.training.fit import Scores
from deeptroubles.training.split import SPLIT, Split

IMAGES = "images.csv"
_TRAINED = {
    "none": "no layer trained",
    "head": "the last layer alone trained",
    "last": "the last stage trained",
    "all": "all layers trained",
}


@dataclass(frozen=True, repr=False)
class Trained(Brief):
    """A trained model and how it was trained.

    Attributes:
        classifier: The model.
        split: Which rows of the labelled, readable images are in which part.
        scores: What is known about each epoch.
        right: Whether each held-out image is predicted correctly.
        notes: What a reader should know.
    """

    classifier: Classifier
    split: Split
    scores: list[Scores]
    right: NDArray[np.bool_]
    notes: tuple[str, ...] = field(default=())

    @property
    def accuracy(self) -> Interval:
        """The share of held-out images that are predicted correctly, with its 95% interval."""
        return wilson(int(self.right.sum()), len(self.right))


def write_trained(out: Path, found: Trained, facts: ModelFacts, images: ImageSet) -> None:
    """The model with its manifests, curves and card; `model.json` comes last."""
    table = _manifest(out, images, found.split)
    write_whole(out / IMAGES, table.to_csv(index=False).encode())
    held_out = table[table[SPLIT] == "held_out"].drop(columns=SPLIT)
    write_whole(out / HELD_OUT, held_out.to_csv(index=False).encode())
    curves = pd.DataFrame(found.scores)
    curves.insert(0, "epoch", np.arange(1, len(curves) + 1))
    if len(curves) > 1:
        write_whole(out / CURVES, curves.to_csv(index=False).encode())
        write_whole(out / "curves.png", curves_figure(curves))
    right = found.accuracy
    about = {
        **facts.training,
        "images": images.name,
        "images fingerprint": images.fingerprint(),
        "trained on": len(found.split.training),
        "validated on": len(found.split.validation),
        "held out": len(found.split.held_out),
        "accuracy on held-out images": [right.value, right.low, right.high],
    }
    write_whole(out / "README.md", _card(out, found, facts, images, right).encode())
    write_model(out, found.classifier, replace(facts, training=about))


def _manifest(out: Path, images: ImageSet, parts: Split) -> pd.DataFrame:
    """All images that were used, with their part; those that are not files are written as PNG."""
    sides = {"training": parts.training, "validation": parts.validation, "held_out": parts.held_out}
    rows = np.concatenate(list(sides.values()))
    table = images.table.iloc[rows].copy()
    table["path"] = [_place(out, images, int(row)) for row in rows]
    for name in {"mask", "cue_mask"} & set(table):
        fetch = images.fetch_mask if name == "mask" else images.fetch_cue_mask
        table[name] = [_relative(out, fetch(int(row)) if fetch else None) for row in rows]
    table[SPLIT] = np.repeat(list(sides), [len(each) for each in sides.values()])
    return table


def _place(out: Path, images: ImageSet, row: int) -> str:
    stored = images.fetch(row)
    if isinstance(stored, Path):
        return _relative(out, stored)
    path = out / "images" / f"{row:06d}.png"
    if not path.exists():
        buffer = io.BytesIO()
        images[row].save(buffer, "PNG")
        write_whole(path, buffer.getvalue())
    return os.path.relpath(path, out)


def _relative(out: Path, stored: object) -> str:
    """The path of a file as seen from the folder; '' for what is not a file."""
    return os.path.relpath(stored, out) if isinstance(stored, Path) else ""


def _card(out: Path, found: Trained, facts: ModelFacts, images: ImageSet, right: Interval) -> str:
    parts = found.split
    trained = _TRAINED[facts.training["depth"]]
    if facts.training.get("by"):
        trained += f"; {facts.training['mended']} mended by {facts.training['by']}"
    names = ", ".join(facts.class_names[:20]) + (", ..." if len(facts.class_names) > 20 else "")
    together = "near-duplicates and groups" if facts.training["group"] else "near-duplicates"
    curves = "\n![Loss and accuracy by epoch](curves.png)\n" if len(found.scores) > 1 else ""
    notes = "".join(f"- {note}\n" for note in found.notes)
    return f"""# {facts.name}

An image classifier of {plural(len(facts.class_names), "class", "classes")}: {names}.

- Made of: {facts.base} ({trained})
- Input: {found.classifier.describe_preprocessing()}
- Images: {images.name}, {plural(len(images), "labelled image")}; fingerprint {images.fingerprint()}
- Split: {len(parts.training):,} trained on, {len(parts.validation):,} to choose the epoch,
  {len(parts.held_out):,} held out (`images.csv`, `held_out.csv`); {together} stay together
- Accuracy on held-out images: {percent(right.value)} (95% CI {percent(right.low)} to {percent(right.high)})
{notes}{curves}
Accuracy on images from the same source says nothing about other sources, nor about why predictions are right. To ask:

    deeptroubles audit {out} --out runs/{facts.name}
"""
