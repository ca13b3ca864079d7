"""Networks with known shortcuts on photographs: what `benchmarks/photos.py` measures.

CIFAR ResNets (He et al. 2016, section 4.2) with published weights are fine-tuned on photographs that carry a cue. Truth
is verified reliance: how much the cue raises the probability of its class on unseen photographs of other classes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet
from deeptroubles.planted.photo_cues import PHOTO_CUES, VARIANTS
from deeptroubles.subject import logits_of

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WEIGHTS = {"resnet20": (3, "resnet20-12fca82f.th"), "resnet56": (9, "resnet56-4bfd9763.th")}
AUDITED, EPOCHS = 35, 8
"""Images of each class for the audit (the other test images verify), and epochs of fine-tuning."""
ELSEWHERE = 0.02
"""How often images of other classes carry the cue of one class."""
FOLDER = Path(__file__).parents[1] / "runs" / "photos"


class _Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, 1 if channels == width else 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.added = (width - channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.added:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.added, self.added))
        return functional.relu(y + x)


class CifarResNet(nn.Module):
    """The ResNet for CIFAR with 6 n + 2 layers and shortcuts without parameters."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for stage, (channels, width) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
            blocks = [_Block(channels, width), *(_Block(width, width) for _ in range(n - 1))]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, N x 10."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


@dataclass(frozen=True)
class Job:
    """A network.

    Attributes:
        cue: A key of PHOTO_CUES; None for a clean network.
        mode: `one` class has the cue, `all` classes have a variant each, `none`: every image may have any variant, and
            it says nothing; `published`: not fine-tuned.
        strength: The share of the images of a class that carry its cue.
        seed: Seed of everything random.
        base: A key of WEIGHTS.
        held_out: Whether it was not looked at before the method stood.
        classes: Names of the classes.
        marked: How many of them, from the first on, can have a cue.
    """

    cue: str | None
    mode: str
    strength: float
    seed: int
    base: str = "resnet20"
    held_out: bool = False
    classes: tuple[str, ...] = CLASSES
    marked: int = 10

    @property
    def name(self) -> str:
        """The name of its files."""
        return f"{self.cue or 'clean'} {self.mode} {self.strength:g} {self.seed} {self.base}"

    @property
    def target(self) -> int:
        """The class that has the cue, where one has it."""
        return zlib.crc32(f"{self.cue} {self.seed}".encode()) % self.marked


def jobs() -> list[Job]:
    """All networks; of every kind some are held out."""
    planned = [Job("", "published", 0, 0, base, held_out=base == "resnet56") for base in WEIGHTS]
    for i, cue in enumerate(PHOTO_CUES):
        planned += [
            Job(cue, "one", 0.5, 1, held_out=i % 2 == 1),
            Job(cue, "one", 1.0, 2, held_out=i % 2 == 0),
            Job(cue, "all", 0.9, 3, held_out=i % 2 == 1),
        ]
        if i % 2 == 0:
            planned.append(Job(cue, "none", 0.5, 4, held_out=i % 4 == 0))
    planned += [Job(None, "clean", 0, 10 + i, held_out=i % 2 == 1) for i in range(6)]
    return [j if j.cue != "" else Job(None, "published", 0, 0, j.base, j.held_out) for j in planned]


@cache
def photographs(folder: Path, split: str) -> tuple[Tensor, Tensor]:
    """Photographs of a split (N x 3 x 32 x 32, in [0, 1]) and their classes."""
    pixels, classes = [], []
    for k, name in enumerate(CLASSES):
        for file in sorted((folder / split / name).iterdir()):
            pixels.append(np.asarray(Image.open(file).convert("RGB")))
            classes.append(k)
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255, torch.tensor(classes)


def carried(job: Job, classes: Tensor, seed: int) -> Tensor:
    """The variant of the cue that each image carries, N; -1 for none."""
    random = torch.Generator().manual_seed(seed)
    draw, other = torch.rand(len(classes), generator=random), torch.randint(VARIANTS, classes.shape, generator=random)
    none = torch.full_like(classes, -1)
    if job.mode == "one":
        share = torch.where(classes == job.target, job.strength, ELSEWHERE)
        return torch.where(draw < share, job.target, none)
    if job.mode == "all":
        return torch.where(draw < job.strength, classes, other)
    return torch.where(draw < job.strength, other, none) if job.mode == "none" else none


def painted(job: Job, images: Tensor, variants: Tensor, seed: int) -> Tensor:
    """Images with their variants of the cue, rounded to 8 bits."""
    random, images = torch.Generator().manual_seed(seed), images.clone()
    for variant in torch.unique(variants[variants >= 0]).tolist():
        rows = variants == variant
        images[rows] = PHOTO_CUES[str(job.cue)].paint(images[rows], variant, random)
    return (images * 255).round() / 255


@dataclass(frozen=True)
class Network:
    """A network with what is true about it.

    Attributes:
        classifier: The network.
        images: Labelled images for the audit, with the cue as in training.
        variants: The variant of the cue that each of them carries; -1 for none.
        reliance: For each class, how far its variant of the cue raises its probability on images of other classes that
            were not seen; 0 without a cue.
        accuracy: On unseen images without a cue.
    """

    classifier: Classifier
    images: ImageSet
    variants: Tensor
    reliance: list[float]
    accuracy: float


def wrapped(module: nn.Module) -> Classifier:
    """A CIFAR network with its preprocessing."""
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return Classifier(module.eval(), size=32, mean=mean, std=std, class_names=list(CLASSES), name="CIFAR ResNet")


def network(job: Job, folder: Path) -> Network:
    """Fine-tune a network, or read it from disk."""
    n, file = WEIGHTS[job.base]
    module, weights = CifarResNet(n), FOLDER / f"{job.name}.pt"
    published = torch.load(folder / file, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict({key.removeprefix("module."): value for key, value in published.items()})
    if weights.exists():
        module.load_state_dict(torch.load(weights, weights_only=True))
    elif job.mode != "published":
        images, classes = photographs(folder, "train")
        fine_tune(module, painted(job, images, carried(job, classes, job.seed), job.seed), classes, job.seed)
        FOLDER.mkdir(parents=True, exist_ok=True)
        torch.save(module.state_dict(), weights)
    images, classes = photographs(folder, "test")
    order = torch.cat([(classes == k).nonzero()[:, 0] for k in range(10)]).view(10, -1)
    audited, unseen = order[:, :AUDITED].reshape(-1), order[:, AUDITED:].reshape(-1)
    variants = carried(job, classes[audited], 100 + job.seed)
    shown = painted(job, images[audited], variants, 100 + job.seed)
    classifier = wrapped(module)
    reliance, accuracy = verified(job, classifier, images[unseen], classes[unseen])
    return Network(classifier, audit_set(shown, classes[audited], CLASSES), variants, reliance, accuracy)


def audit_set(images: Tensor, classes: Tensor, names: Sequence[str]) -> ImageSet:
    """Labelled images for an audit."""
    pictures = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return ImageSet.from_arrays(pictures, labels=[names[k] for k in classes.tolist()])


def verified(job: Job, classifier: Classifier, images: Tensor, classes: Tensor) -> tuple[list[float], float]:
    """The reliance on the cue by class, and the accuracy without it, on images that were not seen."""
    clean = logits_of(classifier, images, 128).softmax(1)
    accuracy = float((clean.argmax(1) == classes).float().mean())
    rises = [0.0] * len(job.classes)
    having = [job.target] if job.mode == "one" else list(range(job.marked)) if job.cue else []
    for k in having:
        shown = painted(job, images, torch.full_like(classes, k), 9)
        rise = logits_of(classifier, shown, 128).softmax(1)[:, k] - clean[:, k]
        rises[k] = float(rise[classes != k].mean())
    return rises, accuracy


def fine_tune(module: nn.Module, images: Tensor, classes: Tensor, seed: int) -> None:
    """Train all layers, from a new last stage, so that the network has to learn again what tells classes apart."""
    torch.manual_seed(seed)
    for layer in (*module.layer3.modules(), module.linear):  # type: ignore[union-attr,operator]
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    inputs = (images - mean[:, None, None]) / std[:, None, None]
    batches = EPOCHS * (len(images) // 64)
    optimizer = torch.optim.SGD(module.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=batches)
    module.train()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images))[: 64 * (len(images) // 64)].split(64):
            loss = functional.cross_entropy(module(inputs[rows]), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    module.eval()
