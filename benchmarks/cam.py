"""The cost of Grad-CAM, compared with a forward pass and with two common libraries, in one process.

Run `python benchmarks/cam.py`. The libraries are measured if they are installed (`pip install --no-deps grad-cam
torchcam`, and their dependencies). Times are minima over rounds; candidates alternate, so that load on the machine
affects all of them.
"""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.timing import best_times
from tests.torchvision_shim import declare_operators

import deeptroubles as dt
from deeptroubles.classifier import evaluating

ROUNDS = 7
BATCH = 8


def models() -> dict[str, tuple[dt.Classifier, str]]:
    """Classifiers and a layer of each; the other libraries need one that is called once."""
    declare_operators()
    import torchvision  # noqa: PLC0415

    lite = dt.load_classifier("efficientnet-lite0")
    resnet = dt.Classifier(torchvision.models.resnet50(weights=None).eval(), size=224)
    return {"efficientnet-lite0": (lite, "_blocks.15"), "resnet50": (resnet, "layer4")}


def candidates(classifier: dt.Classifier, name: str, pixels: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The candidates: each computes a map of class 7 for every image."""
    layer = classifier.module.get_submodule(name)

    def forward() -> Tensor:
        with torch.inference_mode(), evaluating(classifier):
            return classifier(pixels)

    found: dict[str, Callable[[], Tensor]] = {
        "bare forward pass": forward,
        "deeptroubles": lambda: dt.grad_cam(classifier, pixels, 7, layer=name),
    }
    if importlib.util.find_spec("pytorch_grad_cam"):
        from pytorch_grad_cam import GradCAM  # noqa: PLC0415
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: PLC0415

        peer = GradCAM(classifier.eval(), [layer])
        found["grad-cam"] = lambda: torch.from_numpy(peer(pixels, [ClassifierOutputTarget(7)] * len(pixels)))
    if importlib.util.find_spec("torchcam"):
        from torchcam.methods import GradCAM as TorchCAM  # noqa: PLC0415

        extractor = TorchCAM(classifier.eval(), layer)

        def torchcam() -> Tensor:
            return extractor(7, classifier(pixels), normalized=False)[0]

        found["torchcam"] = torchcam
    return found


def main() -> None:
    """Print a table."""
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{machine}, batch of {BATCH} at 224 pixels, minimum of {ROUNDS} rounds\n")
    print("| model | candidate | seconds | x forward pass | largest difference (after ReLU, scaled to 1) |")
    print("|---|---|---|---|---|")
    for model, (classifier, layer) in models().items():
        pixels = torch.rand(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(0))
        found = candidates(classifier, layer, pixels)
        times = best_times(found, ROUNDS)
        ours = dt.grad_cam(classifier, pixels, 7, layer=layer)
        for name, seconds in times.items():
            difference = "" if name in {"bare forward pass", "deeptroubles"} else f"{compare(ours, found[name]()):.1e}"
            ratio = seconds / times["bare forward pass"]
            print(f"| {model} | {name} | {seconds:.3f} | {ratio:.2f} | {difference} |")


def compare(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference of two sets of maps after ReLU, each scaled to a maximum of 1."""
    ours = ours.clamp_min(0)
    if theirs.shape != ours.shape:  # grad-cam returns maps at image size only
        ours = nn.functional.interpolate(ours[:, None], theirs.shape[-2:], mode="bilinear")[:, 0]
    a, b = (m / m.amax((1, 2), keepdim=True).clamp_min(1e-12) for m in (ours, theirs.clamp_min(0).float()))
    return float((a - b).abs().max())


if __name__ == "__main__":
    main()
