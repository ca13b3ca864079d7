"""HOG and SIFT against a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from skimage import feature
from skimage.draw import circle_perimeter
from torch import Tensor

from deeptroubles.findings import Estimate
from deeptroubles.methods.baselines.hog import SETTINGS
from deeptroubles.methods.units.feature_maps import first_filters
from deeptroubles.tour.shared.drawing import grid
from deeptroubles.tour.shared.networks import accuracy, as_images, embedded, photograph
from deeptroubles.tour.shared.signs import draw_signs, signs_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.workflows.audit import audit


def hog_and_sift(workshop: Workshop) -> Shown:
    """For decades people wrote features by hand. Are those that a network learns better?"""
    large = embedded(workshop)
    image = photograph(large, "astronaut")
    weights = first_filters(large)
    filters = 0.5 + weights / (2 * weights.abs().amax((1, 2, 3), keepdim=True))
    new, classifier = draw_signs(workshop.pick(200, 400), workshop.seed + 1), signs_network(workshop)
    right = accuracy(classifier, new.images, new.classes)
    finding = audit(
        classifier,
        as_images(new.images, [new.names[k] for k in new.classes], "traffic signs"),
        checks="performance.baseline",
        seed=workshop.seed,
    ).findings[0]
    gap = next((e for e in finding.evidence if isinstance(e, Estimate)), None)
    return Shown(
        see=[
            (
                "Left to right: a photograph; HOG, the directions of edges in each cell; SIFT, points of interest with "
                "their size. Below are the first filters of a network, which look for edges and colors too. The "
                "difference is what is built on them."
            ),
            f"Four drawn traffic signs, seen from many sides in front of photographs: {finding.claim}",
            (
                "Rigid signs are what such features were made for. On photographs it is different: of CIFAR-10, a last "
                "layer on the embedded network classified 70% correctly, and HOG with a linear SVM 30% (docs/train.md)."
            ),
        ],
        numbers=[
            Number(label="Accuracy of the network", value=right, low=0.85),
            *([Number(label=gap.label, value=gap.value, low=-0.1)] if gap else []),
        ],
        pictures=[
            grid("What hand-written features see", [image, _hog(image), _sift(image)], ["photograph", "HOG", "SIFT"]),
            grid("The first filters of a network (3 x 3 pixels)", filters[:7], [f"filter {k}" for k in range(7)]),
            *finding.evidence[:2],
        ],
        commands=["deeptroubles audit MODEL --images photos/ --checks performance.baseline --out runs/baseline"],
        tries=["If HOG is as good as your network, your images are easy, or your network learned little."],
    )


def _hog(image: Tensor) -> Tensor:
    """The histograms, drawn as lines in each cell: 3 x H x W."""
    drawn: Any = feature.hog(image.numpy(), channel_axis=0, visualize=True, **SETTINGS)[1]
    bright = torch.from_numpy(np.sqrt((drawn / max(float(np.quantile(drawn, 0.995)), 1e-9)).clip(0, 1))).float()
    return bright.expand(3, -1, -1)


def _sift(image: Tensor) -> Tensor:
    """The keypoints as circles on the gray photograph: 3 x H x W."""
    gray = image.mean(0).numpy().astype(np.float64)
    detector: Any = feature.SIFT(upsampling=1)  # type: ignore[no-untyped-call]
    detector.detect(gray)
    canvas = np.repeat(gray[None] * 0.6, 3, 0)
    for (y, x), size in zip(detector.keypoints, detector.sigmas, strict=True):
        for wider in (0, 1):
            rows, columns = circle_perimeter(int(y), int(x), max(2, int(2 * size)) + wider, shape=gray.shape)  # type: ignore[no-untyped-call]
            canvas[:, rows, columns] = np.array([1.0, 0.6, 0.1])[:, None]
    return torch.from_numpy(canvas).float()
