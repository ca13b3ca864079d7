"""What prepared networks gain: channels last, and batch normalization fused with convolutions.

Run `python benchmarks/forward.py resnet50` (or resnet18, efficientnet-lite0, resnet20). One thread. Candidates
alternate in one process with a plain large convolution, whose multiply-add rate is the ceiling. Times are processor
time, ratios are medians over rounds. A traced network needs `torch.export`, whose time is printed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.photo_networks import CifarResNet
from tests.torchvision_shim import declare_operators

import deeptroubles as dt
from deeptroubles.classifier import evaluating
from deeptroubles.network.batch_norm_fusion import in_fast_layout, optimized
from deeptroubles.network.traced import trace
from deeptroubles.subject import logits_of

ROUNDS = 7
BATCHES = {"resnet50": 4, "resnet18": 8, "efficientnet-lite0": 8, "resnet20": 64}


def classifier(name: str) -> dt.Classifier:
    """The embedded network, or one with random weights."""
    if name == "efficientnet-lite0":
        return dt.load_classifier(name)
    torch.manual_seed(0)
    if name == "resnet20":
        return dt.Classifier(CifarResNet(3), size=32)
    declare_operators()
    import torchvision  # noqa: PLC0415

    return dt.Classifier(getattr(torchvision.models, name)(weights=None), size=224)


def candidates(network: dt.Classifier, pixels: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The ways to predict, each from pixels to logits."""
    started = time.process_time()
    traced = trace(network)
    print(f"tracing: {time.process_time() - started:.1f} s")
    fused = optimized(traced, ["logits"])

    def run(call: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        with torch.inference_mode(), evaluating(network):
            return call(images)

    return {
        "plain module": lambda: run(network, pixels),
        "module, channels last (adopted)": lambda: logits_of(network, pixels, len(pixels)),
        "traced, fused": lambda: run(fused, pixels),
        "traced, fused, channels last": lambda: run(fused, in_fast_layout(traced, pixels)),
    }


def large_convolution() -> tuple[Callable[[], Tensor], float]:
    """A convolution of 256 channels, 3 x 3, channels last, and its multiply-adds."""
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(4, 256, 56, 56, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, generator=generator).to(memory_format=torch.channels_last)
    return lambda: functional.conv2d(values, weight, padding=1), values.numel() * 256 * 9


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=BATCHES)
    name = parser.parse_args().network
    torch.set_num_threads(1)
    network = classifier(name)
    pixels = torch.rand(BATCHES[name], network.channels, *network.size, generator=torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter, torch.no_grad(), evaluating(network):
        network(pixels)
    convolution, its_work = large_convolution()
    work = {"plain large convolution": its_work}
    found = {**candidates(network, pixels), "plain large convolution": convolution}
    first = next(iter(found))
    times: dict[str, list[float]] = {key: [] for key in found}
    plain = found[first]()
    for round_ in range(ROUNDS + 1):  # the first one warms up
        for key, run in found.items():
            started = time.process_time()
            run()
            if round_:
                times[key].append(time.process_time() - started)
    print("| way | ms per image | / plain module | multiply-adds per second / ceiling | largest difference / logit |")
    print("|---|---:|---:|---:|---:|")
    for key, run in found.items():
        ceiling = statistics.median(
            (work.get(key, counter.get_total_flops() / 2) / a) / (its_work / c)
            for a, c in zip(times[key], times["plain large convolution"], strict=True)
        )
        ratio = statistics.median(a / b for a, b in zip(times[key], times[first], strict=True))
        far = "" if key in work else f"{float((run() - plain).abs().max() / plain.abs().max()):.0e}"
        milliseconds = statistics.median(times[key]) / len(pixels) * 1e3
        print(
            f"| {key} | {'' if key in work else f'{milliseconds:.1f}'} | {'' if far == '' else f'{ratio:.2f}'} "
            f"| {ceiling:.2f} | {far} |"
        )


if __name__ == "__main__":
    main()
