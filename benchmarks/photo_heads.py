"""Networks of 224 pixels with known shortcuts: new heads on the embedded network, for super-classes of ImageNet.

The photographs are one for every second class of ImageNet, named by synset. Cues are planted and truth is verified as
in photo_networks.py, but the head learns on the audited photographs: there are too few for a set of its own.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

import numpy as np
import torch
from benchmarks.photo_networks import Job, Network, audit_set, carried, painted, verified
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles import load_classifier
from deeptroubles.classifier import Classifier

RANGES = {
    "bird": [(7, 24), (80, 100), (127, 146)],
    "reptile": [(25, 68)],
    "dog": [(151, 268)],
    "mammal": [(101, 106), (269, 299), (330, 388)],
    "insect": [(69, 79), (107, 126), (300, 326)],
    "food": [(924, 969)],
}
"""The indices of ImageNet in each super-class; all others are `object`."""
CLASSES = (*RANGES, "object")
OBJECTS = 139
"""Audited photographs of `object`, for 350 in all; the others verify."""
STEPS = 300


def jobs() -> list[Job]:
    """All networks; none was looked at before the method stood, except those with a watermark."""

    def head(cue: str | None, mode: str, strength: float, seed: int) -> Job:
        return Job(cue, mode, strength, seed, "efficientnet-lite0", cue != "watermark", CLASSES, len(RANGES))

    cues = ("watermark", "date", "marker", "border", "fixed logo", "loose logo", "cast", "quality", "blur", "vignette")
    planted = [head(cue, "one", 0.5 if i % 2 == 0 else 1.0, 1) for i, cue in enumerate(cues)]
    saying_nothing = [head(cue, "none", 0.5, 4) for cue in ("date", "quality")]
    return [*planted, head("ruler", "all", 0.9, 3), *saying_nothing, head(None, "clean", 0, 10)]


@cache
def photographs(folder: Path) -> tuple[Tensor, Tensor]:
    """The middle of each photograph (500 x 3 x 224 x 224, in [0, 1]) and its super-class."""
    pixels, classes = [], []
    for i, file in enumerate(sorted(folder.glob("*.jpg"))):
        image = Image.open(file).convert("RGB")
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        pixels.append(np.asarray(image.crop((left, top, left + 224, top + 224))))
        inside = [any(low <= 2 * i <= high for low, high in ranges) for ranges in RANGES.values()]
        classes.append(inside.index(True) if any(inside) else len(RANGES))
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255, torch.tensor(classes)


def network(job: Job, folder: Path) -> Network:
    """Train a head on the audited photographs."""
    images, classes = photographs(folder)
    objects = (classes == len(RANGES)).nonzero()[:, 0]
    audited = torch.cat([(classes != len(RANGES)).nonzero()[:, 0], objects[:OBJECTS]])
    variants = carried(job, classes[audited], job.seed)
    shown = painted(job, images[audited], variants, job.seed)
    classifier = with_head(shown, classes[audited], job.seed)
    unseen = objects[OBJECTS:]
    reliance, accuracy = verified(job, classifier, images[unseen], classes[unseen])
    return Network(classifier, audit_set(shown, classes[audited], CLASSES), variants, reliance, accuracy)


@torch.no_grad()
def features(base: Classifier, images: Tensor) -> Tensor:
    """What the head sees, N x C."""
    layers = base.module
    maps = [layers.extract_features((batch - base.mean) / base.std) for batch in images.split(32)]  # type: ignore[operator]
    return torch.cat([part.mean((2, 3)) for part in maps])


def with_head(images: Tensor, classes: Tensor, seed: int) -> Classifier:
    """The embedded network with a new linear head."""
    base = load_classifier("efficientnet-lite0")
    seen = features(base, images).clone()
    torch.manual_seed(seed)
    head = nn.Linear(seen.shape[1], len(CLASSES))
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=1e-2)
    for _ in range(STEPS):
        loss = functional.cross_entropy(head(functional.dropout(seen, 0.2)), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module = copy.deepcopy(base.module)
    module._fc, module._dropout = head, nn.Identity()  # noqa: SLF001
    mean, std = base.mean.flatten().tolist(), base.std.flatten().tolist()
    return Classifier(module.eval(), size=224, mean=mean, std=std, class_names=list(CLASSES), name="a new head")
