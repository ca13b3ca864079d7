"""Measure on known networks what audits compare with: `python scripts/references.py FOLDER [NAME ...]`.

FOLDER holds `imagenet-photos/` (JPEG files named `<synset>_<class>.jpg`, one of every second ImageNet class) and
`cifar10/` (`test/<class>/*.jpg` and the weights of akamaster/pytorch_resnet_cifar10). Every estimate of CHECKS goes
into `src/deeptroubles/checks/references.json`, beside the published values there, which are written by hand. With
NAMEs of NETWORKS, only these are measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles import Classifier, ImageSet, audit, load_classifier
from deeptroubles.checks.references import FILE
from deeptroubles.checks.registry import chosen_checks
from deeptroubles.findings import Estimate
from deeptroubles.progress import LogLines, reporting_to

CHECKS = ("performance.calibration", "performance.out_of_distribution", "stability", "adversarial")


class Block(nn.Module):
    """A residual block with a shortcut without parameters (option A of He et al. 2016, section 4.2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.padding = (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Add what two convolutions make to the input."""
        inner = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        carried = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(inner + carried)


class ResNet(nn.Module):
    """The CIFAR ResNet of 6 n + 2 layers."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = [(16, 16), (16, 32), (32, 64)]
        for stage, (inputs, outputs) in enumerate(widths, start=1):
            blocks = [Block(inputs if i == 0 else outputs, outputs) for i in range(n)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of normalized images."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def cifar(folder: Path, layers: int) -> tuple[Classifier, ImageSet]:
    """A published CIFAR-10 network, and test images."""
    (weights,) = (folder / "cifar10").glob(f"resnet{layers}-*.th")
    held = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    network = ResNet((layers - 2) // 6).eval()
    network.load_state_dict({name.removeprefix("module."): value for name, value in held.items()})
    files = sorted((folder / "cifar10" / "test").glob("*/*.jpg"))
    arrays = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    labels = [file.parent.name for file in files]
    classifier = Classifier(
        network,
        size=32,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
        class_names=sorted(set(labels)),
        name=f"ResNet-{layers} on CIFAR-10",
    )
    return classifier, ImageSet.from_arrays(arrays, labels, name=f"{len(files)} CIFAR-10 test images (JPEG)")


def imagenet(folder: Path) -> tuple[Classifier, ImageSet]:
    """The embedded network, and photographs of every tenth ImageNet class: all 500 would take hours."""
    classifier = load_classifier("efficientnet-lite0")
    files = sorted((folder / "imagenet-photos").glob("n*.jpg"))[::5]
    arrays = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    labels = [classifier.class_names[10 * i] for i in range(len(files))]
    return classifier, ImageSet.from_arrays(arrays, labels, name=f"{len(files)} ImageNet photographs")


NETWORKS: dict[str, Callable[[Path], tuple[Classifier, ImageSet]]] = {
    "EfficientNet-Lite0 on ImageNet": imagenet,
    "ResNet-20 on CIFAR-10": lambda folder: cifar(folder, 20),
    "ResNet-56 on CIFAR-10": lambda folder: cifar(folder, 56),
}


def measure(classifier: Classifier, images: ImageSet, check: str) -> dict[str, float]:
    """The value of every estimate of a check, by label."""
    with reporting_to(LogLines(Console())):
        found = audit(classifier, images, checks=[check])
    estimates = (e for finding in found.findings for e in finding.evidence if isinstance(e, Estimate))
    return {estimate.label: round(estimate.value, 4) for estimate in estimates}


def keep(check: str, values: dict[str, float], name: str, images: str) -> None:
    """Write the values of a check on one network into the package's file, in place of older ones."""
    held = json.loads(FILE.read_text(encoding="utf-8"))
    versions = f"deeptroubles {metadata.version('deeptroubles')}, torch {metadata.version('torch').partition('+')[0]}"
    source, date = f"measured on {images}; {versions}", datetime.now(UTC).date().isoformat()
    labels = held["measured"].setdefault(check, {})
    for label, value in values.items():
        others = [reference for reference in labels.get(label, []) if reference["name"] != name]
        labels[label] = [*others, {"name": name, "value": value, "source": source, "date": date}]
    FILE.write_text(json.dumps(held, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Measure networks, and write the values of each check when it ends."""
    folder, *names = sys.argv[1:]
    for name in names or NETWORKS:
        classifier, images = NETWORKS[name](Path(folder))
        for check in chosen_checks(CHECKS):
            keep(check.name, measure(classifier, images, check.name), name, images.name)


if __name__ == "__main__":
    main()
