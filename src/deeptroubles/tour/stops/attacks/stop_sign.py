"""The stop sign: stickers that work from many sides."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.attacks import masked_attack
from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier
from deeptroubles.findings import Curve, Series
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.methods.transforms.shared.physical import Conditions, draw_views, place, see, view_at
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import accuracy
from deeptroubles.tour.shared.signs import SIDE, SIGNS, background, draw_sign, draw_signs, signs_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_CAMERA = Conditions(degrees=20, scale=(0.9, 1.35), shift=0.06, tilt=0.1, brightness=0.1, gain=(0.85, 1.15), blur=0.5)
_FRONT = 0.65
"""Size of the sign in the photographs that stickers are made for."""
_TARGET = SIGNS.index("speed limit")


def stop_sign(workshop: Workshop) -> Shown:
    """Can two stickers turn a stop sign into a speed limit, from every side and in every light?"""
    seed = workshop.seed
    new, classifier = draw_signs(200, seed + 1), signs_network(workshop)
    right = accuracy(classifier, new.images, new.classes)
    sign, mask = draw_sign("stop")
    fronts = place(sign * mask, mask, background(6, seed + 2), view_at(0, _FRONT, 6, 3))
    stickers = _stickers()
    found = masked_attack(
        classifier,
        fronts,
        stickers,
        targets=_TARGET,
        conditions=_CAMERA,
        steps=workshop.pick(60, 200),
        step_size=0.1,
        seed=seed,
    )
    generator = torch.Generator().manual_seed(seed + 3)
    views = draw_views(6, 3, (SIDE, SIDE), _CAMERA, generator)
    before, after = (as_8_bit(see(images, views).clamp(0, 1)) for images in (fronts, found.images))
    angles = [float(angle) for angle in range(-60, 61, 10)]
    curves = {
        name: [_share(classifier, images, a) for a in angles]
        for name, images in (("without", fronts), ("with stickers", found.images))
    }
    return Shown(
        see=[
            (
                f"A network for four drawn signs is right on {percent(right)} of new ones. Then the content of two "
                "stickers is optimized over random angles, distances, perspectives, light and blur, so that it works "
                "on views that it was not made for."
            ),
            (
                f"With the stickers, {percent(found.seen.value)} of new views are predicted as a speed limit. With "
                f"random content in them it is {percent(found.control.value)}, without stickers "
                f"{percent(found.clean.value)}. The two rows show the same views without and with them."
            ),
            "This is digital: whether a printed sticker works needs a printer and a camera.",
        ],
        numbers=[
            Number(label="Accuracy on new signs", value=right, low=0.9),
            Number(label="New views of the stop sign predicted as speed limit", value=found.seen.value, low=0.5),
            Number(label="The same with random stickers", value=found.control.value, high=0.25),
        ],
        pictures=[
            grid("Views of the stop sign", before, predictions(classifier, before)),
            grid("The same views with stickers", after, predictions(classifier, after)),
            Curve(
                title="Turned by more than it was made for",
                x_label="degrees (it was made for up to 20)",
                y_label="predicted as speed limit",
                series=[Series(name=name, x=angles, y=shares) for name, shares in curves.items()],
                y_range=(0.0, 1.0),
            ),
            grid(
                "The stickers from the front",
                [fronts[0], found.images[0]],
                predictions(classifier, torch.stack([fronts[0], found.images[0]])),
                strip=True,
            ),
        ],
        commands=[
            "deeptroubles audit MODEL --images photos/ --checks adversarial.patch --out runs/patch",
            (
                "deeptroubles serve MODEL --images photos/   # attack lab, masked_attack: draw a box on your own "
                "photograph"
            ),
        ],
        tries=["dt.attacks.patch makes one disc that works anywhere in any image."],
    )


def _stickers() -> Tensor:
    """Two bars on the sign, above and below the word."""
    mask = torch.zeros(SIDE, SIDE)
    mask[10:24, 14:50] = 1
    mask[40:54, 14:50] = 1
    return (
        place(mask.expand(3, -1, -1), mask, torch.zeros(1, 3, SIDE, SIDE), view_at(0, _FRONT, 1, 3))[0, 0] > 0.5
    ).float()


def _share(classifier: Classifier, images: Tensor, degrees: float) -> float:
    """The share of images that are predicted as the target after a turn; brighter and darker versions count too."""
    seen = see(images, view_at(degrees, 1.0, len(images), 3))
    lights = torch.cat([seen + light for light in (-0.1, -0.05, 0, 0.05, 0.1)]).clamp(0, 1)
    return float((logits_of(classifier, lights).argmax(1) == _TARGET).float().mean())
