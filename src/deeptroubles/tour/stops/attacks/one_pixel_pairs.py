"""One pixel: from which class to which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.wording import listed, percent, plural
from deeptroubles.classifier import Classifier
from deeptroubles.findings import Heatmap, Heatmaps
from deeptroubles.methods.attacks.one_pixel import corners, set_pixels
from deeptroubles.progress import track
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, predictions, rounded
from deeptroubles.tour.shared.networks import DIGITS, Digits, accuracy, digits, digits_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_SIDE = 16
_NETWORKS = {"all-conv": "AllConv", "nin": "NiN", "vgg": "VGG"}


def one_pixel_pairs(workshop: Workshop) -> Shown:
    """Can changing a single pixel change the prediction, and which classes turn into which?"""
    tested, per_class = digits(_SIDE).tested, workshop.pick(1, 8)
    maps, counted, changed, examples, right = [], [], {}, [], {}
    for architecture, name in _NETWORKS.items():
        classifier = digits_network(workshop, architecture, _SIDE, workshop.pick(2, 5))
        right[name] = accuracy(classifier, tested.images, tested.classes)
        rows = _least_confident(classifier, tested, per_class)
        counts, hit, found = _pairs(classifier, tested.images[rows], tested.classes[rows], name)
        changed[name] = hit
        counted.append(counts)
        maps.append(_drawn(counts, f"{name}: one pixel changes {percent(hit)} of these digits"))
        if found is not None:
            examples.append((classifier, name, *found))
    shown = [picture for _, _, before, after in examples for picture in (before, after)]
    captions = [text for c, _, *pair in examples for text in predictions(c, torch.stack(pair))]
    notes = [text for _, name, *_ in examples for text in (name, "one pixel changed")]
    trained = [f"{name} is right on {percent(share)}" for name, share in right.items()]
    low, high = min(changed.values()), max(changed.values())
    return Shown(
        see=[
            (
                f"Three networks were trained on handwritten digits of 16 x 16 pixels: {listed(trained)}. For "
                f"each digit we took {plural(per_class, 'image')} that the network predicts correctly but least "
                "confidently, and set every single pixel to black and to white."
            ),
            (
                "A cell counts the digits of a row that some single pixel turned into the class of its column. Most "
                f"often it was {_often(counted)}."
            ),
        ],
        numbers=[
            Number(
                label="Share of these digits that one pixel changes: the least vulnerable network", value=low, low=0.05
            ),
            Number(
                label="Share of these digits that one pixel changes: the most vulnerable network", value=high, low=0.2
            ),
        ],
        pictures=[
            grid("One pixel", shown, captions, notes),
            Heatmaps(
                title="From which digit to which",
                items=maps,
                scale_label="digits, of each row's",
                low=0.0,
                high=float(per_class),
                x_label="predicted after the change",
                y_label="digit",
            ),
        ],
        commands=[
            "deeptroubles train --images digits/ --from untrained:nin --augment crop --out models/nin",
            "deeptroubles audit models/nin --checks adversarial.one_pixel --out runs/pixel",
        ],
        tries=["dt.attacks.one_pixel changes up to any number of pixels; one_pixel_evolution is the published search."],
    )


def _pairs(
    classifier: Classifier, images: Tensor, classes: Tensor, name: str
) -> tuple[NDArray[np.int64], float, tuple[Tensor, Tensor] | None]:
    """How many digits of each class reach each class, the share that is changed at all, and an example."""
    counts, changed, example = np.zeros((10, 10), dtype=np.int64), 0, None
    for image, label in zip(track(list(images), f"One pixel, {name}"), classes.tolist(), strict=True):
        candidates = _each_pixel(image, corners(classifier.channels))
        after = logits_of(classifier, candidates, 256).argmax(1)
        reached = sorted(set(after.tolist()) - {label})
        counts[label, reached] += 1
        changed += bool(reached)
        if reached and example is None:
            visible = (candidates - image).abs().amax((1, 2, 3)) * (after != label)
            example = image, candidates[int(visible.argmax())]
    return counts, changed / max(len(images), 1), example


def _least_confident(classifier: Classifier, tested: Digits, count: int) -> list[int]:
    """The rows of each digit that are predicted correctly with the lowest probability."""
    shares, predicted = logits_of(classifier, tested.images).softmax(1).max(1)
    order = shares.argsort().tolist()
    right = [row for row in order if predicted[row] == tested.classes[row]]
    return [row for k in range(10) for row in [row for row in right if tested.classes[row] == k][:count]]


def _each_pixel(image: Tensor, colors: Tensor) -> Tensor:
    """The image with each pixel set to each color that it does not have: at most (H * W * colors) x C x H x W."""
    height, width = image.shape[-2:]
    places = torch.arange(height * width).repeat_interleave(len(colors))
    changed = set_pixels(image, places // width, places % width, colors.repeat(height * width, 1))
    return changed[(changed != image).flatten(1).any(1)]


def _often(maps: Sequence[NDArray[np.int64]]) -> str:
    """The pairs of digits that are found most often, in words."""
    total = np.sum(maps, axis=0)
    order = np.argsort(-total, axis=None, kind="stable")[:3]
    pairs = [(int(k) // 10, int(k) % 10, int(total.flat[k])) for k in order if total.flat[k]]
    return listed([f"{start} to {end} ({plural(count, 'time')})" for start, end, count in pairs])


def _drawn(counts: NDArray[np.int64], caption: str) -> Heatmap:
    return Heatmap(values=rounded(counts), caption=caption, alt=caption, x_ticks=list(DIGITS), y_ticks=list(DIGITS))
