"""The cost of the transforms that the stability checks use, beside one forward pass of the embedded network.

Run `python benchmarks/transforms.py` (`--size 512` for larger images; the network then takes images of that size). One
thread. Every transform alternates with a forward pass of the same images, and the table shows medians of the ratios, so
that load on the machine affects both. A ratio of 1 is the goal.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

import deeptroubles as dt
from deeptroubles.checks.stability.rotation import ANGLES
from deeptroubles.checks.stability.scale import FACTORS
from deeptroubles.methods.transforms.corrupt import CORRUPTIONS, SEVERITIES, corrupt
from deeptroubles.methods.transforms.rotate import rotate
from deeptroubles.methods.transforms.scale import scale
from deeptroubles.methods.transforms.shift import shift
from deeptroubles.subject import logits_of

IMAGES = 8
ROUNDS = 3


def photographs(size: int) -> Tensor:
    """Smooth random colors with some grain, 8 x 3 x size x size."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(IMAGES, 3, 14, 14, generator=generator)
    smooth = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)
    return (smooth + 0.03 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)


def rows(images: Tensor) -> dict[str, list[Callable[[], object]]]:
    """The transforms by name, each with its settings from mild to strong."""
    shifts = {border: [lambda b=border: shift(images, 8, -8, b)] for border in ("mirror", "black", "circular")}
    return {
        **{name: [lambda n=name, s=s: corrupt(images, n, s) for s in SEVERITIES] for name in CORRUPTIONS},
        **{f"shift, {border}": found for border, found in shifts.items()},
        "rotate": [lambda a=angle: rotate(images, a) for angle in ANGLES],
        "scale": [lambda f=factor: scale(images, f) for factor in FACTORS],
    }


def seconds(run: Callable[[], object]) -> float:
    """The processor seconds of one call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def paired(run: Callable[[], object], forward: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds per image, and the ratio to the forward pass: medians of alternating rounds."""
    run()
    pairs = [(seconds(run), seconds(forward)) for _ in range(ROUNDS)]
    return statistics.median(a for a, _ in pairs) / IMAGES * 1e3, statistics.median(a / b for a, b in pairs)


def table(found: dict[str, Sequence[tuple[float, float]]]) -> str:
    """One row per transform: its slowest setting, the median over its settings, and the ratio of the slowest."""
    lines = [
        "| transform | slowest setting (ms per image) | median (ms) | slowest / forward pass |",
        "|---|---:|---:|---:|",
    ]
    for name, values in found.items():
        slowest = max(values, key=lambda v: v[1])
        middle = statistics.median(ms for ms, _ in values)
        lines.append(f"| {name} | {slowest[0]:.1f} | {middle:.1f} | {slowest[1]:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    size = parser.parse_args().size
    torch.set_num_threads(1)
    network, images = dt.load_classifier("efficientnet-lite0"), photographs(size)

    def forward() -> object:
        return logits_of(network, images)

    print(f"forward pass: {min(seconds(forward) for _ in range(ROUNDS)) / IMAGES * 1e3:.1f} ms per image")
    print(table({name: [paired(run, forward) for run in found] for name, found in rows(images).items()}))


if __name__ == "__main__":
    main()
