"""The cost of occlusion, compared with captum: same process, threads, classifier and windows.

    python benchmarks/occlusion.py [--quick] [--threads 2] [--only resnet18]

captum would take hours for some rows. It is timed on 49 windows that tile the image, scaled to the number of windows
(its time does not depend on the window size). Ours is timed on all windows, as the best run after the first, which also
measures where to switch to whole feature maps. Tracing the network (a few seconds, once per classifier) counts for
neither. Memory is the peak minus what the process held before.
"""

from __future__ import annotations

import argparse
import datetime as dt
import platform
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import captum
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.torchvision_shim import declare_operators

from deeptroubles import Classifier
from deeptroubles.methods.attribution.occlusion import hide, window_grid
from deeptroubles.network import TracedNetwork, open_network
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.network.incremental.program import Program
from deeptroubles.network.incremental.rectangles import Span
from deeptroubles.network.incremental.running import changed_rectangles
from deeptroubles.network.incremental.steps import Convolution
from deeptroubles.subject import logits_of

BATCHES = (1, 8, 16, 32, 64)
SIDE = 7
GRIDS = ((16, 8), (32, 16))
NETWORKS = (
    ("vgg16", 224),
    ("resnet18", 224),
    ("resnet50", 224),
    ("efficientnet-lite0", 224),
    ("vgg16", 448),
    ("resnet18", 448),
)


def model(name: str) -> nn.Module:
    """A network with random weights."""
    torch.manual_seed(0)
    if name == "efficientnet-lite0":
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 (only where it is measured)

        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
        return network
    declare_operators()
    import torchvision  # noqa: PLC0415 (needs the operators declared)

    made: nn.Module = getattr(torchvision.models, name)()
    return made


def ceiling(network: TracedNetwork, windows: Tensor) -> float:
    """Multiply-adds of whole images, divided by those of the changed rectangles."""
    program = Program(network)
    size = network.classifier.size
    low, high = windows[:, :2].numpy(), windows[:, 2:].numpy()
    start = Span.fit(low[:, 0], high[:, 0], size[0]), Span.fit(low[:, 1], high[:, 1], size[1])
    changed = dict(changed_rectangles(program, start))
    whole = local = 0.0
    for i, step in enumerate(program.steps):
        if isinstance(step, Convolution):
            taps, share = step.taps, 1.0
            operations = step.weight.numel() * taps[0].length * taps[1].length
            if i in changed:
                height, width = (span.high - span.low for span in changed[i])
                share = float((height * width).mean()) / (taps[0].length * taps[1].length)
        else:
            weights = [n for n in step.node.all_input_nodes if n.op == "get_attr" and n.meta["val"].ndim == 2]
            operations, share = sum(n.meta["val"].numel() for n in weights), 1.0
        whole, local = whole + operations, local + operations * share
    return whole / local


class Measured:
    """Wall time and CPU time in seconds, and the peak of additional memory in MiB."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._running, self.memory = True, 0.0
        before = _resident()
        watch = threading.Thread(target=self._watch, args=(before,))
        watch.start()
        wall, cpu = time.perf_counter(), time.process_time()
        self.result = work()
        self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu
        self._running = False
        watch.join()

    def _watch(self, before: float) -> None:
        while self._running:
            self.memory = max(self.memory, _resident() - before)
            time.sleep(0.01)


def _resident() -> float:
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 / 2**20 if status.exists() else 0.0


def theirs(classifier: Classifier, image: Tensor, batch: int) -> Measured:
    """The cost of captum per window, measured on SIDE x SIDE windows."""
    window = classifier.size[0] // SIDE
    shape = (classifier.channels, window, window)
    method = captum.attr.Occlusion(classifier)
    with torch.no_grad():
        found = Measured(lambda: method.attribute(image, shape, strides=shape, target=0, perturbations_per_eval=batch))
    count = SIDE**2 + 1  # one more for the clean image
    found.wall, found.cpu = found.wall / count, found.cpu / count
    return found


def row(name: str, size: int, window: int, stride: int, rounds: int) -> str:
    """One line of the table."""
    classifier = Classifier(model(name), size=size, name=name).eval()
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise TypeError(f"{name} was not traced")
    small = torch.rand(1, 3, size // 8, size // 8)
    image = nn.functional.interpolate(small, size=size, mode="bicubic").clamp(0, 1)
    windows, _ = window_grid(classifier.size, window, stride)
    cover = classifier.mean[0]
    first = Measured(lambda: LocalEdits(network, image).logits(windows, cover))
    captums: dict[int, list[Measured]] = {b: [theirs(classifier, image, b)] for b in BATCHES}
    ours = [Measured(lambda: LocalEdits(network, image).logits(windows, cover)) for _ in range(rounds)]
    best = min(BATCHES, key=lambda b: captums[b][0].wall)
    for _ in range(rounds):
        captums[best].append(theirs(classifier, image, best))
    logits = ours[0].result
    if not isinstance(logits, Tensor):
        raise TypeError("no logits")
    some = torch.linspace(0, len(windows) - 1, 32).long()
    difference = (logits[some] - logits_of(classifier, hide(image[0], windows[some], cover))).abs().max()
    wall, cpu = min(o.wall for o in ours), min(o.cpu for o in ours)
    count = len(windows)
    fastest = min(captums[best], key=lambda m: m.wall)
    cells = [
        f"{name} {size}",
        f"{window}/{stride}",
        count,
        f"{wall:.1f}",
        f"{first.wall:.1f}",
        f"{fastest.wall * count:.0f}",
        best,
        f"**{fastest.wall * count / wall:.1f}**",
        f"{min(m.cpu for m in captums[best]) * count / cpu:.1f}",
        f"{captums[1][0].wall * count / wall:.1f}",
        f"{ceiling(network, windows):.1f}",
        f"{max(first.memory, *(o.memory for o in ours)):.0f}",
        f"{max(m.memory for m in captums[best]):.0f}",
        f"{float(difference / logits.std(0).mean()):.0e}",
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def processor() -> str:
    """The name of the CPU."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="resnet18 and efficientnet-lite0 at 224, 32/16 only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", help="this network (resnet18), or this network at this size (resnet18@448)")
    parser.add_argument("--window", type=int, help="windows of this size only")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    print(
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {processor()}, {options.threads} threads, "
        f"torch {torch.__version__}, captum {captum.__version__}, Python {platform.python_version()}.\n"
    )
    print("captum: the time of 49 windows, scaled linearly to all.\n")
    print(
        "| network | window/stride | windows | ours (s) | ours, first run (s) | captum at its best (s) | its batch "
        "| times faster | by CPU time | than captum's default | multiply-add ceiling | ours (MiB) "
        "| captum (MiB) | difference / std |"
    )
    print("|---|" + "---:|" * 13)
    for name, size in NETWORKS:
        if options.only not in {None, name, f"{name}@{size}"}:
            continue
        if options.quick and (size != 224 or name not in {"resnet18", "efficientnet-lite0"}):
            continue
        for window, stride in GRIDS[1:] if options.quick else GRIDS:
            if options.window in {None, window}:
                print(row(name, size, window, stride, options.rounds), flush=True)


if __name__ == "__main__":
    main()
