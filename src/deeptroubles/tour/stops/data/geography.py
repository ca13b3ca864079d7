"""The geography of a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deeptroubles.findings import Estimate, Table, WorldMap
from deeptroubles.images import ImageSet
from deeptroubles.methods.geography.countries import countries
from deeptroubles.tour.shared.drawing import grid, predictions
from deeptroubles.tour.shared.networks import DIGITS, digits, digits_network
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown
from deeptroubles.transforms import gaussian_blur
from deeptroubles.workflows.audit import audit

_RICH = ("US", "US", "US", "US", "GB", "DE", "FR", "CA", "AU", "IT", "ES", "NL")
_FROM_RICH = 0.65
_BLUR = 3.0


def geography(workshop: Workshop) -> Shown:
    """Where do the images come from, and where do the people live who will use the network?"""
    classifier = digits_network(workshop, "plain", 28, workshop.pick(4, 8))
    tested = digits(28).tested
    codes = _invented(len(tested.images), workshop.seed)
    poorer = np.array([countries().loc[code, "income"] != "high" for code in codes])
    pixels = tested.images.clone()
    pixels[poorer] = gaussian_blur(pixels[poorer], _BLUR)
    arrays = (pixels[:, 0] * 255).round().byte().numpy()
    images = ImageSet.from_arrays(
        arrays, [DIGITS[k] for k in tested.classes], {"country": codes.tolist()}, name="digits"
    )
    finding = audit(classifier, images, checks="data.geography", seed=workshop.seed).findings[0]
    distance, *others = [e for e in finding.evidence if isinstance(e, Estimate)]
    gaps = [estimate for estimate in others if "ccuracy" in estimate.label]
    rows = [*np.flatnonzero(~poorer)[:5].tolist(), *np.flatnonzero(poorer)[:5].tolist()]
    shown = pixels[rows]
    return Shown(
        see=[
            (
                "The countries of these digits are invented: two thirds come from ten rich countries, the others "
                "from the world's internet users. Digits from poorer countries are blurred, as if taken by a cheaper "
                "camera. Orange countries have more images than internet users, blue ones fewer, hatched ones none."
            ),
            f"The audit says ({finding.verdict}): {finding.claim}",
        ],
        numbers=[
            Number(label=distance.label, value=distance.value, low=0.4, high=0.75),
            *(Number(label=gap.label, value=gap.value, low=0.1) for gap in gaps[:1]),
        ],
        pictures=[
            *(evidence for evidence in finding.evidence if isinstance(evidence, WorldMap)),
            grid(
                "Digits and predictions",
                shown,
                predictions(classifier, shown),
                [countries().loc[codes[row], "name"] for row in rows],
            ),
            distance,
            *gaps,
            *[evidence for evidence in finding.evidence if isinstance(evidence, Table)][:1],
        ],
        commands=["deeptroubles audit MODEL --images photos.csv --checks data.geography --out runs/places"],
        tries=[
            "Countries are read from a column named country, from coordinates, or from the GPS position in the files."
        ],
    )


def _invented(count: int, seed: int) -> NDArray[np.str_]:
    """Codes of countries."""
    random, users = np.random.default_rng(seed), countries()["internet"]
    anywhere = random.choice(users.index.to_numpy(dtype=str), count, p=(users / users.sum()).to_numpy())
    return np.where(random.random(count) < _FROM_RICH, random.choice(_RICH, count), anywhere)
