"""Train a classifier on images with labels: a new last layer, fine-tuning, or a small network from scratch."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deeptroubles.checks.wording import plural
from deeptroubles.classifier import Classifier
from deeptroubles.errors import ImagesError, RunFolderError, UsageError
from deeptroubles.images import ImageSet
from deeptroubles.models import load_classifier, runs_code
from deeptroubles.models.shared.model_folder import FACTS, HeadKind, ModelFacts
from deeptroubles.models.trained import operated
from deeptroubles.training.learn import learn
from deeptroubles.training.model_card import Trained, write_trained
from deeptroubles.training.plan import AUGMENTATION, SCRATCH, TUNED, Plan
from deeptroubles.training.remedy import Remedy
from deeptroubles.training.trained_layers import Depth

WORK = "training"
"""The folder inside the model's folder from which a killed training is resumed; removed at the end."""
FROM_SCRATCH = "untrained:"


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
    of one group stay together. A training that was killed is resumed by the same call, and ends with the same model.

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
    out = free_folder(out)
    if augmentation not in AUGMENTATION:
        raise UsageError(f"There is no augmentation {augmentation!r}; choose {', '.join(AUGMENTATION)}.")
    labelled = labelled_images(images, group)
    scratch = base.startswith(FROM_SCRATCH)
    plan = Plan(
        depth=depth or ("all" if scratch else "head"),
        head=head,
        epochs=epochs or (SCRATCH if scratch else TUNED).epochs,
        augmentation=augmentation,
        scratch=scratch,
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
    return trained_into(out, classifier.to(device), facts, labelled, plan, Remedy())


def free_folder(out: Path | str) -> Path:
    """A folder for a model. Raises RunFolderError where it holds one already."""
    if (Path(out) / FACTS).exists():
        raise RunFolderError(f"{out} holds a trained model already; choose another folder.")
    return Path(out)


def trained_into(
    out: Path, classifier: Classifier, facts: ModelFacts, images: ImageSet, plan: Plan, remedy: Remedy
) -> Trained:
    """Train a classifier and write it; what is kept to resume a killed training is removed at the end."""
    found = learn(classifier, images, plan, remedy, out / WORK)
    write_trained(out, found, facts, images)
    shutil.rmtree(out / WORK, ignore_errors=True)
    return found


def labelled_images(images: ImageSet, group: str | None) -> ImageSet:
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


def _by_number(label: str) -> tuple[int, float, str]:
    """Labels that are numbers in their order, all others by name."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label
