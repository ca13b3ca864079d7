"""Write a planted network and its images, or images alone, as the files that an audit or training needs."""

from __future__ import annotations

import io
import shlex
import warnings
from pathlib import Path

import torch
from PIL import Image

from deeptroubles.classifier import Classifier
from deeptroubles.images import ImageSet
from deeptroubles.planted.planting import Planted
from deeptroubles.run.files import write_whole


def write_planted(planted: Planted, folder: Path, name: str, description: str) -> None:
    """Write a network and the images to audit it on.

    The folder gets `images/` and, where objects have masks, `masks/` (a folder per class), `manifest.csv` (path, label,
    mask and the cue's value), the network as `NAME.pt2`, `classes.txt` and, last, `README.txt` with the description.
    Existing files are replaced.

    Args:
        planted: The network and its images.
        folder: The folder to write to.
        name: What was planted; reports call the network so.
        description: Text for `README.txt`.

    Raises:
        RunFolderError: A file cannot be written.
    """
    write_images(planted.images, folder)
    write_whole(folder / "classes.txt", "".join(f"{name}\n" for name in planted.classifier.class_names).encode())
    write_whole(folder / f"{name}.pt2", _exported(planted.classifier))
    write_whole(folder / "README.txt", f"{description}\n\nTo audit it:\n\n    {audit_command(folder, name)}\n".encode())


def write_images(images: ImageSet, folder: Path) -> None:
    """Write images without a network: `images/`, `masks/` where there are masks, and `manifest.csv`.

    Args:
        images: Labelled images; further columns of their table become columns of the manifest.
        folder: The folder to write to. Existing files are replaced.

    Raises:
        RunFolderError: A file cannot be written.
    """
    table = images.table.copy()
    digits = max(3, len(str(len(table) - 1)))
    table["path"] = [f"images/{label}/{row:0{digits}d}.png" for row, label in enumerate(table["label"])]
    if images.fetch_mask is not None:
        table.insert(2, "mask", table["path"].str.replace("images/", "masks/", n=1))
    for row, path in enumerate(table["path"]):
        write_whole(folder / path, _png(images[row]))
        if mask := images.mask(row):
            write_whole(folder / table["mask"].iloc[row], _png(mask))
    write_whole(folder / "manifest.csv", table.to_csv(index=False).encode())


def train_command(folder: Path) -> str:
    """The command that trains a network on the images of the folder."""
    images, out = str(folder / "manifest.csv"), str(folder / "model")
    return shlex.join(["deeptroubles", "train", "--images", images, "--out", out])


def audit_command(folder: Path, name: str) -> str:
    """The command that audits the folder with the checks for planted cues."""
    model, classes, images, out = (str(folder / n) for n in (f"{name}.pt2", "classes.txt", "manifest.csv", "audit"))
    options = ["--classes", classes, "--images", images, "--out", out, "--checks", "performance,reliance.shortcut"]
    return shlex.join(["deeptroubles", "audit", model, *options])


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _exported(classifier: Classifier) -> bytes:
    """The network, including normalization, as a program that takes pixels in [0, 1]."""
    pixels = torch.zeros(2, classifier.channels, *classifier.size)
    program = torch.export.export(classifier.eval(), (pixels,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No complete tensor found")  # irrelevant on a CPU
        torch.export.save(program, buffer)
    return buffer.getvalue()
