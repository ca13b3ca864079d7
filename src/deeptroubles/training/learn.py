"""From images to a trained classifier: read, split, train, score what was held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as pillow_version
from torch import Tensor
from torch.nn import functional

from deeptroubles.checks.wording import plural
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Arrays, Engine, LocalEngine, result_key
from deeptroubles.errors import ImagesError
from deeptroubles.images import ImageSet
from deeptroubles.methods.mitigation.last_layer import balanced_head, fit_head
from deeptroubles.methods.properties.perceptual_hash import thumbnail
from deeptroubles.methods.surgery.new_head import last_layer
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.subject import Subject, logits_of
from deeptroubles.training.fit import Scores, fit
from deeptroubles.training.model_card import Trained
from deeptroubles.training.plan import Plan
from deeptroubles.training.remedy import Remedy, calibrate
from deeptroubles.training.split import SPLIT, Split, given_split, related, split
from deeptroubles.training.trained_layers import train_only
from deeptroubles.training.views import random_views

_CHUNK = 32


def learn(classifier: Classifier, images: ImageSet, plan: Plan, remedy: Remedy, folder: Path) -> Trained:
    """Train a classifier on images, all of which have a label that is one of its classes.

    Args:
        classifier: What is trained; its weights change.
        images: The images. A column `split` (training, validation, held_out) decides on which side each is.
        plan: How it is trained.
        remedy: What is done in training against a problem; `Remedy()` for nothing.
        folder: Where an interrupted training is resumed from.

    Raises:
        ImagesError: There are too few images to hold any out.
        RunFolderError: The folder belongs to another training, or cannot be written.
    """
    identity = {"model": classifier.fingerprint(), "images": images.fingerprint(), "seed": str(plan.seed)}
    work = RunFolder(folder, identity | {"training": json.dumps([asdict(plan), remedy.name], sort_keys=True)})
    names = {name: k for k, name in enumerate(classifier.class_names)}
    subject = Subject(classifier, images, np.array([names[str(label)] for label in images.labels]))
    key = result_key(Subject.unlabelled(classifier, images), "pixels", pillow_version)
    with keeping_pixels(work) as pixels:
        kept = pixels.file(key, len(images), (*classifier.size, classifier.channels))
        return _learned(replace(subject, kept=kept), LocalEngine(work), plan, remedy, folder)


def _learned(subject: Subject, engine: Engine, plan: Plan, remedy: Remedy, folder: Path) -> Trained:
    """Split, train and score."""
    seen = engine.map(_look, subject, range(len(subject.images)), task="Reading images", chunk=_CHUNK)
    readable = np.flatnonzero(seen["reason"] == "")
    notes = [f"{plural(len(seen['reason']) - len(readable), 'image')} could not be read."]
    notes = notes if len(readable) < len(seen["reason"]) else []
    parts = _parts(subject, seen, readable, plan)
    if plan.depth == "head":
        scores = _fit_head(subject, engine, parts, plan, remedy)
    elif plan.depth == "none":
        scores = []
    else:
        scores = _fit_layers(subject, parts, plan, remedy, folder)
    if remedy.calibrates:
        calibrate(subject.classifier, _logits(subject, parts.validation), subject.targets[parts.validation])
    logits = _logits(subject, parts.held_out)
    right = logits.argmax(1) == subject.targets[parts.held_out]
    return Trained(subject.classifier, parts, scores, right, (*notes, *parts.notes))


def _parts(subject: Subject, seen: Arrays, readable: NDArray[np.int64], plan: Plan) -> Split:
    """Which rows are in which part: as the images say, or at random."""
    table = subject.images.table
    classes, names = subject.targets[readable], subject.classifier.class_names
    groups = None if plan.group is None else table[plan.group].iloc[readable].tolist()
    side = min(subject.classifier.size)
    together = related(seen["thumbnail"][readable], seen["digest"][readable].tolist(), groups, side=side)
    given = None if SPLIT not in table else given_split(table[SPLIT].iloc[readable].tolist())
    parts = given or split(classes, together, names, seed=plan.seed)
    if not len(parts.held_out) or not len(parts.validation):
        raise ImagesError(
            f"{plural(len(readable), 'image')} in {plural(int(together.max()) + 1, 'unrelated group')} are too few to "
            "hold any out for validation and for testing; give at least three unrelated images of two classes."
        )
    return Split(
        training=readable[parts.training],
        validation=readable[parts.validation],
        held_out=readable[parts.held_out],
        notes=parts.notes,
    )


def _fit_head(subject: Subject, engine: Engine, parts: Split, plan: Plan, remedy: Remedy) -> list[Scores]:
    """Logistic regression on what the last layer reads: one forward pass for each image, which is kept."""
    rows = np.concatenate([parts.training, parts.validation])
    features = engine.map(_features, subject, rows, task="Computing features", chunk=_CHUNK)["features"]
    features = features.astype(np.float64)
    training = features[: len(parts.training)]
    targets = subject.targets[parts.training]
    weights = _class_weights(targets, subject.classifier.classes, balanced=plan.balanced)
    if remedy.balances:
        groups = pd.factorize(subject.images.table[remedy.balances].iloc[parts.training])[0]
        head = balanced_head(training, targets, groups, subject.classifier.classes, seed=plan.seed)
    else:
        head = fit_head(training, targets, subject.classifier.classes, weights[targets])
    weight, bias = subject.classifier.module.get_submodule(last_layer(subject.classifier)).parameters()
    with torch.no_grad():
        weight.copy_(torch.from_numpy(head.weight).view_as(weight))
        bias.copy_(torch.from_numpy(head.bias))
    validated = _scores(head.logits(features[len(parts.training) :]), subject.targets[parts.validation], "validation")
    return [{**_scores(head.logits(training), targets, "training"), **validated}]


def _fit_layers(subject: Subject, parts: Split, plan: Plan, remedy: Remedy, folder: Path) -> list[Scores]:
    """Gradient descent on augmented images."""
    classifier = subject.classifier
    head = train_only(classifier, plan.depth)
    targets = torch.from_numpy(subject.targets[parts.training]).to(classifier.device)
    balance = _class_weights(subject.targets[parts.training], classifier.classes, balanced=plan.balanced)
    weight = torch.from_numpy(balance).to(classifier.mean)

    def inputs(rows: Tensor) -> Tensor:
        pixels = subject.pixels(parts.training[rows.cpu().numpy()].tolist())
        if plan.augmentation != "none":
            pixels = random_views(pixels, mirror="flip" in plan.augmentation)
        pixels = remedy.views(pixels)
        return pixels.to(memory_format=torch.channels_last)

    def loss(network: torch.nn.Module, pixels: Tensor, classes: Tensor) -> Tensor:
        shown = remedy.attack(network, pixels, classes)
        return functional.cross_entropy(network(shown), classes, weight=weight)

    def validate() -> Scores:
        """On images that are changed as those of training are; otherwise the epoch that was changed least is best."""
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            logits = _logits(subject, parts.validation, remedy)
        return _scores(logits, subject.targets[parts.validation], "validation")

    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        return fit(
            classifier,
            inputs,
            targets,
            plan.schedule,
            new=None if plan.scratch else head,
            loss=loss,
            validate=validate,
            checkpoint=folder / "checkpoint.pt",
        )


def _look(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Decode images and keep their pixels; what the split compares them by."""
    found = subject.decode(indices)
    pictures = [Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]) for pixels in found.pixels]
    digests = [hashlib.blake2b(pixels.tobytes(), digest_size=16).hexdigest() for pixels in found.pixels]
    return {
        "reason": np.array(found.reasons, dtype=np.str_),
        "digest": np.array(digests),
        "thumbnail": np.stack([thumbnail(picture) for picture in pictures]),
    }


def _features(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """What the last layer reads, n x D, averaged over positions."""
    held: list[Tensor] = []
    layer = subject.classifier.module.get_submodule(last_layer(subject.classifier))
    hook = layer.register_forward_pre_hook(lambda _, given: held.append(given[0].detach()))
    try:
        logits_of(subject.classifier, subject.pixels(indices), batch_size)
    finally:
        hook.remove()
    features = torch.cat(held)
    features = features.flatten(2).mean(2) if features.ndim > 2 else features
    return {"features": features.cpu().numpy()}


def _logits(subject: Subject, rows: NDArray[np.int64], remedy: Remedy | None = None) -> NDArray[np.float64]:
    """Logits of some images, or of what a remedy makes of them."""
    classifier, found = subject.classifier, []
    for part in np.array_split(rows, max(1, len(rows) // _CHUNK)):
        pixels = subject.pixels(part.tolist())
        if remedy:
            classes = torch.from_numpy(subject.targets[part]).to(pixels.device)
            pixels = remedy.attack(classifier, remedy.views(pixels), classes)
        found.append(logits_of(classifier, pixels))
    return torch.cat(found).double().cpu().numpy()


def _scores(logits: NDArray[np.float64], targets: NDArray[np.int64], part: str) -> Scores:
    loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets)).item()
    return {f"{part} loss": loss, f"{part} accuracy": float((logits.argmax(1) == targets).mean())}


def _class_weights(targets: NDArray[np.int64], classes: int, *, balanced: bool) -> NDArray[np.float64]:
    """One weight for each class, 1 on the average image."""
    counts = np.bincount(targets, minlength=classes)
    return len(targets) / (classes * np.maximum(counts, 1)) if balanced else np.ones(classes)
