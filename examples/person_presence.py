"""Train a small network on faces and non-faces, audit it, and test what the audit suggests.

    python examples/person_presence.py runs/person_presence

The images come with scikit-image: 100 faces of Labeled Faces in the Wild and 100 crops of the same photographs
without a face, 25 x 25 pixels and grayscale (`skimage.data.lfw_subset`). Nothing is downloaded. It takes seconds.
"""
# ruff: noqa: INP001, T201

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.data import lfw_subset
from torch import Tensor, nn

import deeptroubles as dt

NAMES = ("no face", "face")
EPOCHS = 40
HELD_OUT = 40
"""The number of images per class for the audit; the others are for training."""
CHECKS = ("performance.accuracy", "performance.calibration", "data", "reliance.occlusion_gain", "stability.translation")


def pictures() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Pixels (200 x 25 x 25), classes, and which images are for the audit."""
    pixels = np.round(np.clip(lfw_subset(), 0, 1) * 255).astype(np.uint8)
    classes = np.repeat([1, 0], 100)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(100), (2, 1)), axis=1).ravel()
    return pixels, classes, order < HELD_OUT


def train(pixels: NDArray[np.uint8], classes: NDArray[np.int64], *, seed: int = 0) -> dt.Classifier:
    """A network of three convolutions, trained with random flips, shifts by up to two pixels and contrast changes."""
    images = torch.from_numpy(pixels)[:, None].float() / 255
    labels = torch.from_numpy(classes)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(288, 2),
        )
        optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=EPOCHS * -(-len(images) // 24))
        for _ in range(EPOCHS):
            for part in torch.randperm(len(images)).split(24):
                optimizer.zero_grad()
                nn.functional.cross_entropy(
                    network(augmented(images[part])), labels[part], label_smoothing=0.05
                ).backward()
                optimizer.step()
                schedule.step()
    network.zero_grad()
    return dt.Classifier(
        network.eval(),
        size=25,
        channels=1,
        class_names=NAMES,
        name="face or no face",
        source="examples/person_presence.py",
    )


def augmented(images: Tensor) -> Tensor:
    """Random flips, shifts and contrast changes."""
    mirrored = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(-1), images)
    padded = nn.functional.pad(mirrored, (2, 2, 2, 2), mode="replicate")
    y, x = torch.randint(5, (2,)).tolist()
    shifted = padded[:, :, y : y + 25, x : x + 25]
    return (0.5 + (shifted - 0.5) * (0.7 + 0.6 * torch.rand(len(images), 1, 1, 1))).clamp(0, 1)


def counter_examples() -> dict[str, NDArray[np.uint8]]:
    """Images that separate faces from fine detail: faces without detail or upside down, and detail without a face."""
    pixels, classes, held_out = pictures()
    faces = pixels[held_out & (classes == 1)]
    return {
        "faces": faces,
        "blurred faces": np.round(gaussian_filter(faces.astype(float), (0, 1.5, 1.5))).astype(np.uint8),
        "faces upside down": faces[:, ::-1].copy(),
        "grass": crops("grass.png"),
        "gravel": crops("gravel.png"),
    }


def crops(name: str) -> NDArray[np.uint8]:
    """Crops of 25 x 25 pixels of a photograph that is scaled to a height of 200 pixels."""
    demo = dt.load_images("demo")
    image = demo[list(demo.table["path"]).index(name)].convert("L")
    small = np.asarray(image.resize((image.width * 200 // image.height, 200)))
    squares = sliding_window_view(small, (25, 25))[::25, ::25]
    return np.ascontiguousarray(squares.reshape(-1, 25, 25))


def face_shares(classifier: dt.Classifier, shown: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of a face for each image."""
    with torch.inference_mode():
        return classifier.eval()(torch.from_numpy(shown)[:, None].float() / 255).softmax(1)[:, 1].numpy()


def main(out: Path) -> dt.Audit:
    """Train, audit, write the report, and test what the audit suggests."""
    pixels, classes, held_out = pictures()
    classifier = train(pixels[~held_out], classes[~held_out])
    splits = np.where(held_out, "test", "train")
    images = dt.ImageSet.from_arrays(pixels, [NAMES[k] for k in classes], {"split": splits}, name="LFW subset")
    everything = dt.audit(classifier, images, checks=["data.duplicates", "data.balance"])
    result = dt.audit(classifier, images.subset(held_out), out, checks=CHECKS)
    for finding in (*everything.findings, *result.findings):
        print(f"{finding.verdict.upper():12} {finding.check}: {finding.claim}")
    for name, shown in counter_examples().items():
        predicted = face_shares(classifier, shown) > 0.5
        print(f"{predicted.sum()} of {len(shown)} images of {name} are predicted as a face.")
    dt.write_report(result, out / "report.html")
    print(f"Report: {out / 'report.html'}")
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/person_presence"))
