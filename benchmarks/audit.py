"""How long an audit takes: seconds and looks per check, the first finding, and the peak of memory.

    python benchmarks/audit.py PHOTOGRAPHS CIFAR a|b|c [--budget 10m]

PHOTOGRAPHS is a folder of ImageNet photographs, CIFAR one with `train`, `test` and published weights (see
photo_networks.py). Case a is the embedded network with 500 photographs, b a ResNet-50 (random weights) with 1,000 (each
photograph and its mirror image), c a published ResNet-20 with 10,000 images (shifted copies of 2,600). Each case runs
in a process of its own, so that its memory can be read. "Ideal" is the time of the looks alone, at the speed of large
batches.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from benchmarks import photo_networks
from benchmarks.planted import line
from PIL import Image
from tests.torchvision_shim import declare_operators

from deeptroubles import Classifier, ImageSet, audit, load_classifier, load_images
from deeptroubles.commands.budget import read_budget
from deeptroubles.findings import Finding
from deeptroubles.memory import keep_freed_memory
from deeptroubles.progress import Silent, reporting_to
from deeptroubles.subject import logits_of

GOALS = {"a": 360, "b": 900, "c": 120}
"""Seconds on two idle cores."""


class Watch(Silent):
    """Notes when checks begin and end, and how many images the classifier was shown by then."""

    def __init__(self) -> None:
        self.started, self.looks = time.perf_counter(), 0
        self.first = float("nan")
        self.by_check: dict[str, tuple[float, int, str]] = {}
        self.said: list[tuple[float, float]] = []
        self._at = 0

    def stage(self, name: str, detail: str) -> None:
        """A check begins."""
        self._at = self.looks

    def concluded(self, name: str, outcome: str, seconds: float) -> None:
        """A check ends."""
        if np.isnan(self.first):
            self.first = time.perf_counter() - self.started
        self.by_check[name] = (seconds, self.looks - self._at, outcome)

    def time_left(self, seconds: float) -> None:
        """How long the rest is said to take."""
        self.said.append((time.perf_counter() - self.started, seconds))


def case(which: str, photographs: Path, cifar: Path, folder: Path) -> tuple[Classifier, ImageSet]:
    """The classifier and the images of a case."""
    if which == "a":
        return load_classifier("efficientnet-lite0"), load_images(photographs)
    if which == "b":
        torch.manual_seed(0)
        for file in sorted(photographs.glob("*.jpg")):
            image = Image.open(file).convert("RGB")
            image.save(folder / file.name, quality=95)
            image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / f"mirrored {file.name}", quality=95)
        declare_operators()
        timm = import_module("timm")
        module = timm.create_model("resnet50", pretrained=False).eval()
        return Classifier(module, size=224, name="resnet50"), load_images(folder)
    job = next(job for job in photo_networks.jobs() if job.mode == "published" and job.base == "resnet20")
    parts = [photo_networks.photographs(cifar, split) for split in ("train", "test")]
    images, classes = (torch.cat(column) for column in zip(*parts, strict=True))
    shifts = [(0, 0), (1, 2), (-2, 1), (2, -1)]
    shown = torch.cat([images.roll(shift, (2, 3)) for shift in shifts])[:10_000]
    labels = [photo_networks.CLASSES[k] for k in classes.repeat(len(shifts))[:10_000].tolist()]
    pictures = (shown * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return photo_networks.network(job, cifar).classifier, ImageSet.from_arrays(pictures, labels)


def speed(classifier: Classifier) -> float:
    """Images per second in large batches."""
    pixels = torch.rand(64, classifier.channels, *classifier.size)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        logits_of(classifier, pixels, 64)
        took.append(time.perf_counter() - started)
    return 64 / min(took)


def stopped(finding: Finding) -> str:
    """Why a check stopped before it had seen all images; '' if it did not."""
    said = " ".join(finding.caveats)
    return (
        "budget"
        if "budget of this check was used up" in said
        else "decided"
        if "accounts for this early stop" in said
        else ""
    )


def main() -> None:
    """Audit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("case", choices=GOALS)
    parser.add_argument("--budget", default="10m")
    chosen = parser.parse_args()
    keep_freed_memory()
    watch = Watch()

    def count(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, Classifier) and type(given[0]) is torch.Tensor:  # not while it is traced
            watch.looks += len(given[0])

    with tempfile.TemporaryDirectory() as made:
        classifier, images = case(chosen.case, chosen.photographs, chosen.cifar, Path(made))
        rate = speed(classifier)
        hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
        watch.started = time.perf_counter()
        with reporting_to(watch):
            found = audit(classifier, images, Path(made) / "run", budget=read_budget(chosen.budget))
        seconds = time.perf_counter() - watch.started
        hook.remove()
    why = {f.check: stopped(f) for f in found.findings}
    line("check", "seconds", "looks", "ideal", "verdict", "stopped")
    line("---", "---:", "---:", "---:", "---", "---")
    for name, (took, looks, verdict) in sorted(watch.by_check.items(), key=lambda item: -item[1][0]):
        line(name, f"{took:.1f}", f"{looks:,}", f"{looks / rate:.1f}", verdict, why.get(name, ""))
    line("", "")
    line("after, s", "said to be left, s", "left, s")
    line("---:", "---:", "---:")
    for after, left in watch.said:
        line(f"{after:.0f}", f"{left:.0f}", f"{seconds - after:.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\n{chosen.case}: {len(images):,} images, {seconds:.0f} s (goal {GOALS[chosen.case]}), first finding after "
        f"{watch.first:.0f} s, {watch.looks:,} looks, {rate:.0f} looks per second at best, peak {peak:.2f} GiB, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
