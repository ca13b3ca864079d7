"""Images that fool: noise and patterns that the network is confident about."""

from __future__ import annotations

from deeptroubles.attacks import fooling_ascent, map_elites
from deeptroubles.classifier import Classifier
from deeptroubles.findings import ImageGrid
from deeptroubles.images.labels import find_class
from deeptroubles.methods.attacks.fooling_ascent import FoolingImages
from deeptroubles.subject import logits_of
from deeptroubles.tour.shared.drawing import grid, short_name, written
from deeptroubles.tour.shared.networks import digits_network, embedded
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_CLASSES = ("goldfish", "school bus", "grand piano")


def fooling(workshop: Workshop) -> Shown:
    """Is there an image without any object that the network is confident about?"""
    classifier, small = embedded(workshop), digits_network(workshop, "plain", 28, workshop.pick(4, 8))
    ascended = fooling_ascent(
        classifier, [find_class(classifier, name) for name in _CLASSES], steps=workshop.pick(30, 200)
    )
    generations = workshop.pick(80, 200)
    direct = map_elites(small, encoding="direct", generations=generations, children=60, seed=workshop.seed)
    drawn = map_elites(small, encoding="cppn", generations=generations, children=60, seed=workshop.seed)
    patterns = map_elites(classifier, generations=workshop.pick(4, 40), children=60, seed=workshop.seed)
    confident = float(ascended.confidence.min())
    return Shown(
        see=[
            (
                "Gradient ascent: noise, changed until the network is confident. It still looks like noise, and the "
                f"least confident of the three has {written(confident)}."
            ),
            (
                "Evolution needs only predictions. On a network for digits, evolved pixels reach "
                f"{written(float(direct.confidence.median()))} and evolved patterns (CPPN, small networks that draw) "
                f"{written(float(drawn.confidence.median()))} for the median digit. Look for a digit in them."
            ),
            (
                "On the large network the short search finds patterns with up to "
                f"{written(float(patterns.confidence.max()))}. Some resemble their class in texture or color; judge "
                "yourself whether they are meaningless."
            ),
        ],
        numbers=[
            Number(label="Gradient ascent: lowest of three probabilities", value=confident, low=0.95),
            Number(
                label="Digits: median probability of evolved patterns", value=float(drawn.confidence.median()), low=0.9
            ),
        ],
        pictures=[
            grid("Gradient ascent", ascended.images, _captions(classifier, ascended)),
            grid("Digits: evolved pixels", direct.images, _captions(small, direct)),
            grid("Digits: evolved patterns", drawn.images, _captions(small, drawn)),
            _best(classifier, patterns, 10),
        ],
        commands=[
            (
                'python -c "import deeptroubles as dt; '
                "print(dt.attacks.map_elites(dt.load_classifier('efficientnet-lite0')))\""
            ),
            "deeptroubles audit efficientnet-lite0 --images demo --checks adversarial.fooling --out runs/fooling",
        ],
        tries=["The paper evolves up to 5,000 generations. In the attack lab of deeptroubles serve you can watch it."],
    )


def _captions(classifier: Classifier, found: FoolingImages) -> list[str]:
    return [
        f"{short_name(classifier, k)} {written(share)}"
        for k, share in zip(found.classes.tolist(), found.confidence.tolist(), strict=True)
    ]


def _best(classifier: Classifier, found: FoolingImages, count: int) -> ImageGrid:
    """The most confident images for whose class the prediction is the same."""
    won = logits_of(classifier, found.images).argmax(1) == found.classes
    order = (found.confidence * won).argsort(descending=True)[:count].tolist()
    captions = _captions(classifier, found)
    return grid("ImageNet: evolved patterns", found.images[order], [captions[row] for row in order])
