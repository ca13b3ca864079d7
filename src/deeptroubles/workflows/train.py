"""Train a classifier on images with labels: a new last layer, fine-tuning, or a small network from scratch."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL import __version__ as pillow_version
from torch import Tensor
from torch.nn import functional

from deeptroubles.checks.wording import plural
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Arrays, Engine, LocalEngine, result_key
from deeptroubles.errors import ImagesError, RunFolderError, UsageError
from deeptroubles.images import ImageSet
from deeptroubles.methods.mitigation.last_layer import fit_head
from deeptroubles.methods.properties.perceptual_hash import thumbnail
from deeptroubles.methods.surgery.new_head import last_layer
from deeptroubles.models import load_classifier, runs_code
from deeptroubles.models.shared.model_folder import FACTS, HeadKind, ModelFacts
from deeptroubles.models.trained import operated
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.subject import Subject, logits_of
from deeptroubles.training.fit import Schedule, Scores, fit
from deeptroubles.training.model_card import Trained, write_trained
from deeptroubles.training.split import Split, related, split
from deeptroubles.training.trained_layers import Depth, train_only
from deeptroubles.training.views import random_views

WORK = "training"
"""The folder inside of the model's that a killed training goes on from; removed at the end."""
FROM_SCRATCH = "untrained:"
SCRATCH = Schedule(epochs=30, patience=10)
TUNED = Schedule(epochs=12, batch=32, peak=3e-3, peak_of_trained=2e-4, patience=4)
AUGMENTATION = ("crop,flip", "crop", "none")
_CHUNK = 32


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is trained.

    Attributes:
        depth: Which layers: the last one (`head`), the last stage (`last`) or all.
        head: `linear`, or `gap`: global average pooling and one linear layer in place of the dense layers.
        epochs: Passes over the images; the last layer alone needs none.
        augmentation: `crop,flip`, `crop` (for letters, digits, sides of a body) or `none`.
        balanced: Whether each class counts the same, however many images it has.
        group: Column of what must not be on both sides of the split, such as the patient.
        seed: Seed of the split, of new weights and of everything else random.
    """

    depth: Depth
    head: HeadKind = "linear"
    epochs: int
    augmentation: str = "crop,flip"
    balanced: bool = False
    group: str | None = None
    seed: int = 0


def train(
    images: ImageSet,
    out: Path | str,
    base: str = "efficientnet-lite0",
    *,
    depth: Depth | None = None,
    head: HeadKind = "linear",
    epochs: int | None = None,
    augmentation: str = "crop,flip",
    balanced: bool = False,
    group: str | None = None,
    size: int | tuple[int, int] | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> Trained:
    """Train a classifier, and write it as a folder that is a model.

    A fifth of the images is held out, and a fifth of the others decides which epoch is best; near-duplicates and images
    of one group stay together. A training that was killed goes on to the same model when it is started again.

    Args:
        images: Images with labels. Those without, and those that cannot be read, are left out.
        out: The folder of the model.
        base: The model to start from, as for `load_classifier`; `untrained:NAME` for a small network from scratch.
        depth: Which layers are trained: `head`, `last` or `all`. Default: the head; all from scratch.
        head: `linear`, or `gap` for a network whose class activation maps are exact.
        epochs: Passes over the images. Default: 12, and 30 from scratch.
        augmentation: `crop,flip`, `crop` or `none`.
        balanced: Let each class count the same, however many images it has.
        group: A column; images with the same value are never on both sides of the split.
        size: Input size, for `untrained:NAME`. Default: 32.
        name: What to call the model. Default: the name of the folder.
        seed: Seed of everything random.
        device: Where to train.

    Raises:
        UsageError: An option has no such value, or the images have no such column.
        ImagesError: There are fewer than two classes, or too few images to hold any out.
        ModelError: The base cannot be loaded, or has no last layer that can be replaced.
        RunFolderError: The folder holds another model or training, or cannot be written.
    """
    out = Path(out)
    if (out / FACTS).exists():
        raise RunFolderError(f"{out} holds a trained model already; choose another folder.")
    if augmentation not in AUGMENTATION:
        raise UsageError(f"There is no augmentation {augmentation!r}; choose {', '.join(AUGMENTATION)}.")
    labelled = _labelled(images, group)
    scratch = base.startswith(FROM_SCRATCH)
    plan = Plan(
        depth=depth or ("all" if scratch else "head"),
        head=head,
        epochs=epochs or (SCRATCH if scratch else TUNED).epochs,
        augmentation=augmentation,
        balanced=balanced,
        group=group,
        seed=seed,
    )
    classes = sorted({label for label in labelled.labels if label is not None}, key=_by_number)
    settings: dict[str, Any] = {"size": size, "class_names": classes} if scratch else {}
    settings = {key: value for key, value in settings.items() if value is not None}
    facts = ModelFacts(
        base=base,
        settings=settings,
        head=head,
        class_names=classes,
        name=name or out.resolve().name,
        code=runs_code(base),
        training=asdict(plan),
    )
    classifier = operated(load_classifier(base, **settings), facts, seed=seed)
    classifier.to(device)
    work = RunFolder(out / WORK, _identity(classifier, labelled, plan))
    with keeping_pixels(work) as pixels:
        key = result_key(Subject.unlabelled(classifier, labelled), "pixels", pillow_version)
        subject = Subject(classifier, labelled, np.array([classes.index(str(label)) for label in labelled.labels]))
        kept = pixels.file(key, len(labelled), (*classifier.size, classifier.channels))
        found = _trained(replace(subject, kept=kept), LocalEngine(work), plan, group, work.path)
    write_trained(out, found, facts, labelled)
    shutil.rmtree(work.path, ignore_errors=True)
    return found


def _trained(subject: Subject, engine: Engine, plan: Plan, group: str | None, folder: Path) -> Trained:
    """Split, train and score."""
    seen = engine.map(_look, subject, range(len(subject.images)), task="Reading images", chunk=_CHUNK)
    readable = np.flatnonzero(seen["reason"] == "")
    notes = [f"{plural(len(seen['reason']) - len(readable), 'image')} could not be read."]
    notes = notes if len(readable) < len(seen["reason"]) else []
    groups = None if group is None else subject.images.table[group].iloc[readable].tolist()
    together = related(
        seen["thumbnail"][readable], seen["digest"][readable].tolist(), groups, side=min(subject.classifier.size)
    )
    parts = split(subject.targets[readable], together, subject.classifier.class_names, seed=plan.seed)
    if not len(parts.held_out) or not len(parts.validation):
        raise ImagesError(
            f"{plural(len(readable), 'image')} in {plural(int(together.max()) + 1, 'unrelated group')} are too few to "
            "hold any out for validation and for testing; give at least three unrelated images of two classes."
        )
    parts = Split(
        training=readable[parts.training],
        validation=readable[parts.validation],
        held_out=readable[parts.held_out],
        notes=parts.notes,
    )
    if plan.depth == "head":
        scores = _fit_head(subject, engine, parts, plan)
    else:
        scores = _fit_layers(subject, parts, plan, folder)
    logits = _logits(subject, parts.held_out)
    right = logits.argmax(1) == subject.targets[parts.held_out]
    return Trained(subject.classifier, parts, scores, right, (*notes, *parts.notes))


def _fit_head(subject: Subject, engine: Engine, parts: Split, plan: Plan) -> list[Scores]:
    """Logistic regression on what the last layer reads: one forward pass for each image, which is kept."""
    rows = np.concatenate([parts.training, parts.validation])
    features = engine.map(_features, subject, rows, task="Computing features", chunk=_CHUNK)["features"]
    features = features.astype(np.float64)
    training = features[: len(parts.training)]
    targets = subject.targets[parts.training]
    weights = _class_weights(targets, subject.classifier.classes, balanced=plan.balanced)
    head = fit_head(training, targets, subject.classifier.classes, weights[targets])
    weight, bias = subject.classifier.module.get_submodule(last_layer(subject.classifier)).parameters()
    with torch.no_grad():
        weight.copy_(torch.from_numpy(head.weight).view_as(weight))
        bias.copy_(torch.from_numpy(head.bias))
    validated = _scores(head.logits(features[len(parts.training) :]), subject.targets[parts.validation], "validation")
    return [{**_scores(head.logits(training), targets, "training"), **validated}]


def _fit_layers(subject: Subject, parts: Split, plan: Plan, folder: Path) -> list[Scores]:
    """Gradient descent on augmented images."""
    classifier = subject.classifier
    head = train_only(classifier, plan.depth)
    targets = torch.from_numpy(subject.targets[parts.training]).to(classifier.device)
    balance = _class_weights(subject.targets[parts.training], classifier.classes, balanced=plan.balanced)
    weight = torch.from_numpy(balance).to(classifier.mean)
    scratch = classifier.source.startswith(FROM_SCRATCH)

    def inputs(rows: Tensor) -> Tensor:
        pixels = subject.pixels(parts.training[rows.cpu().numpy()].tolist())
        if plan.augmentation != "none":
            pixels = random_views(pixels, mirror="flip" in plan.augmentation)
        return pixels.to(memory_format=torch.channels_last)

    def loss(network: torch.nn.Module, pixels: Tensor, classes: Tensor) -> Tensor:
        return functional.cross_entropy(network(pixels), classes, weight=weight)

    def validate() -> Scores:
        return _scores(_logits(subject, parts.validation), subject.targets[parts.validation], "validation")

    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        schedule = replace(SCRATCH if scratch else TUNED, epochs=plan.epochs)
        return fit(
            classifier,
            inputs,
            targets,
            schedule,
            new=None if scratch else head,
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


def _logits(subject: Subject, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    parts = [
        logits_of(subject.classifier, subject.pixels(part.tolist()))
        for part in np.array_split(rows, max(1, len(rows) // _CHUNK))
    ]
    return torch.cat(parts).double().cpu().numpy()


def _scores(logits: NDArray[np.float64], targets: NDArray[np.int64], part: str) -> Scores:
    loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets)).item()
    return {f"{part} loss": loss, f"{part} accuracy": float((logits.argmax(1) == targets).mean())}


def _class_weights(targets: NDArray[np.int64], classes: int, *, balanced: bool) -> NDArray[np.float64]:
    """One weight for each class, 1 on the average image."""
    counts = np.bincount(targets, minlength=classes)
    return len(targets) / (classes * np.maximum(counts, 1)) if balanced else np.ones(classes)


def _labelled(images: ImageSet, group: str | None) -> ImageSet:
    """The images with a label. Raises where there are not two classes, or no such column."""
    if group is not None and group not in images.table:
        raise UsageError(f"The images have no column {group!r}; they have {', '.join(map(str, images.table.columns))}.")
    known = images.subset([label is not None for label in images.labels])
    count = len({*known.labels})
    if count < 2:
        raise ImagesError(
            f"The images have {plural(count, 'class', 'classes')}; training needs labels of at least two: folders "
            "named after classes, or a manifest with a column `label`."
        )
    return known


def _identity(classifier: Classifier, images: ImageSet, plan: Plan) -> dict[str, str]:
    return {
        "model": classifier.fingerprint(),
        "images": images.fingerprint(),
        "seed": str(plan.seed),
        "training": json.dumps(asdict(plan), sort_keys=True),
    }


def _by_number(label: str) -> tuple[int, float, str]:
    """Labels that are numbers in their order, all others by name."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
