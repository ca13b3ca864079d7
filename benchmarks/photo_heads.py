"""Networks of 224 pixels with known shortcuts: heads on half of the embedded network, for super-classes of ImageNet.

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
BLOCKS, EPOCHS, BATCH = 8, 15, 57


def jobs() -> list[Job]:
    """All networks; none was looked at before the method stood."""

    def head(cue: str | None, mode: str, strength: float, seed: int) -> Job:
        base = "efficientnet-lite0"
        return Job(cue, mode, strength, seed, base, held_out=True, classes=CLASSES, marked=len(RANGES))

    one = ("watermark", "date", "marker", "border", "fixed logo", "loose logo", "cast", "quality", "blur")
    every = ("ruler", "date", "vignette")
    planted = [head(cue, "one", 1.0 if i % 2 == 0 else 0.6, 1) for i, cue in enumerate(one)]
    planted += [head(cue, "all", 0.9, 3) for cue in every]
    saying_nothing = [head(cue, "none", 0.5, 4) for cue in ("date", "quality")]
    return [*planted, *saying_nothing, *(head(None, "clean", 0, 10 + i) for i in range(2))]


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


def with_head(images: Tensor, classes: Tensor, seed: int) -> Classifier:
    """The first BLOCKS blocks of the embedded network, and trained layers that look for anything that tells classes."""
    base = load_classifier("efficientnet-lite0")
    layers = dict(base.module.named_children())
    stem = nn.Sequential(layers["_conv_stem"], layers["_bn0"], layers["_swish"], *list(layers["_blocks"])[:BLOCKS])
    stem = copy.deepcopy(stem).eval()
    with torch.no_grad():
        seen = torch.cat([stem((batch - base.mean) / base.std) for batch in images.split(32)])
    scale = seen.std((0, 2, 3))
    head = trained_head(seen / scale[:, None, None], classes, seed)
    with torch.no_grad():
        head[0].weight /= scale[:, None, None]
    mean, std = base.mean.flatten().tolist(), base.std.flatten().tolist()
    module = nn.Sequential(stem, head).eval()
    return Classifier(module, size=224, mean=mean, std=std, class_names=list(CLASSES), name="a new head")


def trained_head(features: Tensor, classes: Tensor, seed: int) -> nn.Sequential:
    """Two convolutions and the largest response anywhere, so that a small overlay can decide."""
    torch.manual_seed(seed)
    head = nn.Sequential(
        nn.Conv2d(features.shape[1], 64, 3, padding=1, bias=False),
        *(nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, len(CLASSES))),
    )
    batches = len(features) // BATCH
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=EPOCHS * batches)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(features))[: batches * BATCH].split(BATCH):
            loss = functional.cross_entropy(head(features[rows]), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return head
