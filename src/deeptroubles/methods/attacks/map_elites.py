"""Fooling images by evolution: MAP-Elites, in which every child competes for every class."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attacks.fooling_ascent import FoolingImages
from deeptroubles.methods.attacks.shared.cppn import Pattern
from deeptroubles.methods.attacks.shared.direct_encoding import Pixels
from deeptroubles.methods.parameters import Count, Seed
from deeptroubles.progress import track
from deeptroubles.subject import logits_of

ENCODINGS = {"direct": Pixels, "cppn": Pattern}
Encoding = Literal["direct", "cppn"]


def map_elites(
    classifier: Classifier,
    *,
    encoding: Encoding = "cppn",
    generations: Count = 200,
    children: Count = 200,
    seed: Seed = 0,
    batch_size: Count = 64,
) -> FoolingImages:
    """Evolve one meaningless image per class, all classes at once.

    The archive holds the most confident image of each class. In every generation parents are drawn from it at random,
    and each child replaces the image of every class for which the network is more confident on the child. Images are
    rounded to 8 bits before they are evaluated.

    Args:
        classifier: The classifier.
        encoding: `direct` (every pixel is a gene: looks like noise) or `cppn` (a small network generates the image:
            regular patterns).
        generations: Number of generations; the paper runs 1,000 to 5,000.
        children: Children per generation.
        seed: Seed of the evolution.
        batch_size: Images per forward pass.

    Returns:
        One image per class.

    Raises:
        UsageError: There is no such encoding.

    References:
        A. Nguyen, J. Yosinski, J. Clune, Deep neural networks are easily fooled, CVPR 2015, section 2; J.-B. Mouret,
        J. Clune, Illuminating search spaces by mapping elites, 2015. The settings are those of the published code.
    """
    if encoding not in ENCODINGS:
        raise UsageError(f"There is no encoding {encoding!r}; choose one of {', '.join(ENCODINGS)}.")
    random = np.random.default_rng(seed)
    kind: type[Pixels | Pattern] = ENCODINGS[encoding]
    size = (classifier.channels, *classifier.size)
    candidates = [kind.first(size, random) for _ in range(children)]
    archive: list[Pixels | Pattern] = []
    pictures, fitness, start = np.empty(0), np.full(classifier.classes, -1.0), np.empty(0)
    for _ in track(range(generations + 1), "Evolving fooling images"):
        drawn = np.stack([_to_bytes(member.draw(size)) for member in candidates])
        shares = np.concatenate(
            [_shares(classifier, drawn[i : i + batch_size], batch_size) for i in range(0, children, batch_size)]
        )
        best, value = shares.argmax(0), shares.max(0)
        better = value > fitness
        if not archive:
            archive, pictures, start = [candidates[i] for i in best], drawn[best], value
        for cell in np.flatnonzero(better):
            archive[cell], pictures[cell] = candidates[best[cell]], drawn[best[cell]]
        fitness = np.maximum(fitness, value)
        parents = random.integers(len(archive), size=(children, 2))
        candidates = [archive[a].child(archive[b], random) for a, b in parents]
    device = classifier.device
    return FoolingImages(
        classes=torch.arange(classifier.classes, device=device),
        images=torch.from_numpy(pictures).to(device).float().div_(255),
        confidence=torch.from_numpy(fitness).to(device),
        start=torch.from_numpy(start).to(device),
        queries=(generations + 1) * children,
    )


def _to_bytes(drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.round(np.clip(drawn, 0, 1) * 255).astype(np.uint8)


def _shares(classifier: Classifier, drawn: NDArray[np.uint8], batch_size: int) -> NDArray[np.float64]:
    """Probabilities of all classes, children x K."""
    logits = logits_of(classifier, torch.from_numpy(drawn).to(classifier.device) / 255, batch_size)
    return logits.double().softmax(1).cpu().numpy()
