"""The cost of an index of all units: time compared with a forward pass, and memory.

Run `python benchmarks/units.py`. Decoding is excluded: the images are random pixels. Times are minima over rounds;
candidates alternate, so that load on the machine affects all of them. Memory is the peak resident size of a new process
that indexes N images, and of another one that indexes 4 N.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.timing import best_times
from tests.torchvision_shim import declare_operators

import deeptroubles as dt
from deeptroubles.classifier import evaluating
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.units.filter_statistics import filter_statistics
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.network import open_network, unit_layers
from deeptroubles.subject import Subject

BATCH = 32
IMAGES = {"efficientnet-lite0": 128, "resnet50": 64, "small CNN": 1024}
KEPT = 64
"""The memory measurement keeps activations of fewer images than it indexes, as for a large data set."""


class Prepared(Subject):
    """A few images repeated, already prepared."""

    def pixels(self, indices: Sequence[int]) -> Tensor:
        """The images, without decoding."""
        return self.stock[[i % len(self.stock) for i in indices]]

    @property
    def stock(self) -> Tensor:
        """Random pixels."""
        return _stock(self.classifier)


STOCK: dict[int, Tensor] = {}


def _stock(classifier: dt.Classifier) -> Tensor:
    if id(classifier) not in STOCK:
        generator = torch.Generator().manual_seed(0)
        STOCK[id(classifier)] = torch.rand(64, classifier.channels, *classifier.size, generator=generator)
    return STOCK[id(classifier)]


def small() -> dt.Classifier:
    """A network for 28 x 28 grayscale pixels, with batch normalization."""
    torch.manual_seed(0)
    blocks: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 64)):
        blocks += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return dt.Classifier(nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 9, 10)).eval(), size=28, channels=1)


def classifier_of(name: str) -> dt.Classifier:
    """A classifier by name."""
    if name == "small CNN":
        return small()
    if name == "efficientnet-lite0":
        return dt.load_classifier(name)
    declare_operators()
    import torchvision  # noqa: PLC0415

    return dt.Classifier(torchvision.models.resnet50(weights=None).eval(), size=224)


def subject_of(classifier: dt.Classifier, count: int) -> Subject:
    """A subject of `count` images without decoding."""
    images = dt.ImageSet.from_arrays(np.zeros((count, 1, 1), dtype=np.uint8))
    return Prepared(classifier, images, np.full(count, -1))


def candidates(name: str) -> dict[str, Callable[[], object]]:
    """The candidates, with the same images and batch size."""
    classifier, count = classifier_of(name), IMAGES[name]
    subject = subject_of(classifier, count)
    layer = unit_layers(open_network(classifier))[2].name

    def forward() -> None:
        with torch.inference_mode(), evaluating(classifier):
            for start in range(0, count, BATCH):
                classifier(torch.cat([subject.pixels([i]) for i in range(start, min(count, start + BATCH))]))

    return {
        "bare forward pass": forward,
        "index of all units": lambda: index_units(subject, LocalEngine(batch_size=BATCH)),
        f"filter statistics of one layer ({layer})": lambda: filter_statistics(
            subject, LocalEngine(batch_size=BATCH), layer
        ),
    }


def peak(name: str, count: int) -> float:
    """The peak resident size in MiB of a new process that indexes `count` images."""
    command = [sys.executable, __file__, "--memory", name, str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 (this file)


def print_peak(name: str, count: int) -> None:
    """The measurement of `peak`, within that process."""
    index_units(subject_of(classifier_of(name), count), LocalEngine(batch_size=BATCH), keep=KEPT)
    # Not `ru_maxrss`, which includes the size of the parent process.
    status = Path("/proc/self/status").read_text()
    print(int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024)


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", nargs=2, metavar=("MODEL", "IMAGES"))
    parser.add_argument("--only", choices=IMAGES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.memory:
        print_peak(options.memory[0], int(options.memory[1]))
        return
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{machine}, batches of {BATCH}, minimum of {options.rounds} rounds\n")
    print("| model | images | units | candidate | seconds | x forward pass |")
    print("|---|---|---|---|---|---|")
    chosen = [options.only] if options.only else list(IMAGES)
    for name in chosen:
        found = candidates(name)
        units = sum(layer.units for layer in unit_layers(open_network(classifier_of(name))))
        times = best_times(found, options.rounds)
        for what, seconds in times.items():
            ratio = seconds / times["bare forward pass"]
            print(f"| {name} | {IMAGES[name]} | {units} | {what} | {seconds:.3f} | {ratio:.2f} |", flush=True)
    print(f"\n| model | N | peak MiB, N images, {KEPT} kept | 4 N images |")
    print("|---|---|---|---|")
    for name in chosen:
        few, many = (peak(name, times * IMAGES[name]) for times in (1, 4))
        print(f"| {name} | {IMAGES[name]} | {few:.0f} | {many:.0f} |", flush=True)


if __name__ == "__main__":
    main()
