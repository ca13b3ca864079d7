"""Class activation maps: a heat map from global average pooling."""

from __future__ import annotations

import torch

from deeptroubles.attribution import cam
from deeptroubles.checks.wording import percent
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import over_pictures, short_name
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_PHOTOGRAPHS = ("camera", "coffee", "chelsea", "china")


def class_activation(workshop: Workshop) -> Shown:
    """The network averages its last maps over the image. Where was the evidence before it was averaged?"""
    classifier = embedded(workshop)
    pixels = torch.stack([photograph(classifier, name) for name in _PHOTOGRAPHS])
    logits = logits_of(classifier, pixels)
    targets = logits.argmax(1)
    maps = cam(classifier, pixels, targets)
    linear = [module for module in classifier.modules() if isinstance(module, torch.nn.Linear)][-1]
    rebuilt = maps.mean((1, 2)) + linear.bias.detach()[targets]
    apart = float((rebuilt - logits[range(len(pixels)), targets]).abs().max())
    words = [short_name(classifier, k) for k in targets.tolist()]
    shares = logits.softmax(1).amax(1).tolist()
    rival = logits[0].topk(2).indices.tolist()
    both = torch.stack([cam(classifier, pixels[:1], index)[0] for index in rival])
    names = [short_name(classifier, index) for index in rival]
    return Shown(
        see=[
            (
                "The darker the orange, the more evidence for the predicted class lies there; gray parts hardly "
                "count. The map has 7 x 7 cells, because the last layer is that coarse."
            ),
            (
                f"The same photograph explained for two classes, “{names[0]}” and “{names[1]}”: one network, one "
                "image, two maps. A map belongs to a class."
            ),
            f"On this network the map is exact: its mean plus the bias is the logit (largest difference {apart:.6f}).",
        ],
        numbers=[
            Number(label="Largest difference between map and logit", value=apart, high=1e-3, unit="number"),
            Number(
                label="Correlation of the maps for two classes",
                value=float(torch.corrcoef(both.flatten(1))[0, 1]),
                high=0.8,
                unit="number",
            ),
        ],
        pictures=[
            over_pictures(
                "Evidence for the predicted class",
                maps,
                pixels,
                [f"{word} {percent(share)}" for word, share in zip(words, shares, strict=True)],
                "logit per cell",
            ),
            over_pictures("One photograph, two classes", both, pixels[[0, 0]], names, "logit per cell"),
        ],
        commands=[
            "deeptroubles explain efficientnet-lite0 photo.jpg --method cam --out cam.png",
            "deeptroubles train --images photos/ --head gap --layers last --out models/gap",
        ],
        tries=[
            "--head gap trains a network whose maps are exact, from any network.",
            "deeptroubles audit ... --masks masks/ --checks reliance.object asks how much evidence lies in the object.",
        ],
    )
