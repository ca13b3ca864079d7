"""Pictures of what units of one layer respond to: what `deeptroubles visualize` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief, html_pictures
from deeptroubles.engine import LocalEngine, MakeEngine
from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import find_class
from deeptroubles.methods.units.activation_atlas import activation_atlas
from deeptroubles.methods.units.activation_maximization import Visualization, activation_maximization
from deeptroubles.methods.units.caricature import caricature
from deeptroubles.methods.units.deep_dream import deep_dream
from deeptroubles.methods.units.feature_maps import feature_maps, first_filters
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.methods.units.shared.parameterizations import data_spectrum
from deeptroubles.network import LOGITS, open_network
from deeptroubles.pictures import picture as encoded
from deeptroubles.subject import Subject
from deeptroubles.workflows.choices import Technique

MAX_UNITS = 16
"""Units that are drawn when none are named."""
BATCH_SIZE = 32
SPECTRUM = 512
"""Images from which the spectrum is taken at most, at equal distances."""


@dataclass(frozen=True, repr=False)
class Figure(Brief):
    """Pictures to draw side by side.

    Attributes:
        layer: What they are of.
        title: What they show.
        pictures: C x H x W in [0, 1] each (C is 1 or 3), or h x w of raw numbers, to be drawn in colors.
        captions: One for each.
    """

    layer: str
    title: str
    pictures: tuple[NDArray[np.float32], ...]
    captions: tuple[str, ...]

    def _repr_html_(self) -> str:
        shown = (encoded(_shades(each), text) for each, text in zip(self.pictures, self.captions, strict=True))
        return html_pictures(self.title, ((each.src, each.alt, each.alt) for each in shown))


def _shades(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A picture as it is; raw numbers (h x w) as 1 x h x w shades of gray, from the lowest to the highest."""
    if values.ndim == 3:
        return values
    low, high = float(values.min()), float(values.max())
    return ((values - low) / max(high - low, 1e-12))[None]


def visualize_units(
    classifier: Classifier,
    layer: str,
    technique: Technique = "maximize",
    *,
    picture: Image.Image | None = None,
    images: ImageSet | None = None,
    parameterization: str = "fourier",
    steps: int = 256,
    negative: bool = False,
    seed: int = 0,
    engine: MakeEngine = LocalEngine,
) -> Figure:
    """Make pictures of what units respond to.

    Args:
        classifier: The classifier.
        layer: A layer's name (or `logits`), and after a colon units: numbers, ranges, and for `logits` class names.
        technique: `maximize`: a picture that excites each unit. `dream`: the picture, changed to excite the layer or
            the units. `caricature`: a picture that excites the layer as the picture does, only more so. `maps`: what
            the units respond to in the picture at every position. `filters`: the weights of the first convolution.
            `atlas`: a map of what the layer distinguishes in the images.
        picture: What `dream`, `caricature` and `maps` start from.
        images: For `maximize`: say how strongly pictures excite a unit, compared with these. `maco` takes their
            spectrum. For `atlas`: what the map is of.
        parameterization: `fourier`, `pixel` or `maco`.
        steps: Steps of the ascent.
        negative: Excite as little as possible.
        seed: Seed of the noise.
        engine: Makes what does the work on images. Default: this process does.

    Raises:
        UsageError: There is no such unit, or a picture or images are missing.
        ModelError: There is no such layer.
    """
    layer, units = parse_units(classifier, layer)
    if technique == "filters":
        weights = first_filters(classifier).cpu().numpy()
        chosen = list(range(len(weights)) if units is None else units)
        if max(chosen) >= len(weights):
            raise UsageError(f"The first convolution has the filters 0 to {len(weights) - 1}.")
        return Figure(
            layer,
            "Weights of the first convolution",
            tuple(_scaled(weights[unit]) for unit in chosen),
            tuple(map(str, chosen)),
        )
    if technique == "maximize":
        return _maximized(
            classifier, layer, units, images, parameterization, steps, negative=negative, seed=seed, engine=engine
        )
    if technique == "atlas":
        if images is None:
            raise UsageError("An atlas maps how a layer responds to images; give some with --images.")
        atlas = activation_atlas(
            Subject.unlabelled(classifier, images), engine(None, BATCH_SIZE), layer, steps=steps, seed=seed
        )
        return Figure(layer, f"Atlas of {layer}", (atlas.draw().numpy(),), (f"{int(atlas.counts.sum())} activations",))
    if picture is None:
        raise UsageError(f"{technique} starts from a picture; give one with --image.")
    pixels = classifier.prepare(picture).to(classifier.device)
    shown = pixels.cpu().numpy()
    if technique == "maps":
        chosen = units or list(range(min(MAX_UNITS, open_network(classifier).layer(layer).units)))
        maps = feature_maps(classifier, pixels, layer, chosen)[0].cpu().numpy()
        return Figure(layer, f"Feature maps of {layer}", (shown, *maps), ("the picture", *map(str, chosen)))
    if technique == "dream":
        made, word = deep_dream(classifier, pixels, layer, units, seed=seed), "dream"
    else:
        made, word = caricature(classifier, pixels, layer, steps=steps, seed=seed), "caricature"
    return Figure(layer, f"{word.capitalize()}: {layer}", (shown, made.cpu().numpy()), ("the picture", word))


def parse_units(classifier: Classifier, text: str) -> tuple[str, list[int] | None]:
    """A layer and its units from `LAYER[:UNITS]`; None where no units are named.

    Raises:
        UsageError: What stands after the colon is no unit.
        ModelError: There is no such layer.
    """
    network = open_network(classifier)
    known = {layer.name for layer in network.layers} | {LOGITS}
    if text in known or ":" not in text:
        return network.layer(text).name, None
    name, _, named = text.rpartition(":")
    layer, units = network.layer(name), list[int]()
    for part in named.split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdigit() and (last.isdigit() or not dash):
            units += range(int(first), int(last or first) + 1)
        elif name == LOGITS:
            units.append(find_class(classifier, part.strip()))
        else:
            raise UsageError(f"{part.strip()!r} is not a unit of {name}; give numbers and ranges, such as 3,5-9.")
    if not units or max(units) >= layer.units:
        raise UsageError(f"{name} has the units 0 to {layer.units - 1}.")
    return name, units


def _maximized(
    classifier: Classifier,
    layer: str,
    units: Sequence[int] | None,
    images: ImageSet | None,
    parameterization: str,
    steps: int,
    *,
    negative: bool,
    seed: int,
    engine: MakeEngine,
) -> Figure:
    chosen = units or list(range(min(MAX_UNITS, open_network(classifier).layer(layer).units)))
    if parameterization == "maco" and images is None:
        raise UsageError("maco keeps the spectrum of images; give some with --images.")
    spectrum = None
    if images and parameterization == "maco":
        some = np.unique(np.linspace(0, len(images) - 1, min(len(images), SPECTRUM)).astype(np.int64)).tolist()
        pixels = Subject.unlabelled(classifier, images).readable_pixels(some)[0]
        if not len(pixels):
            raise ImagesError("None of the images could be read.")
        spectrum = data_spectrum(pixels)
    drawn = activation_maximization(
        classifier,
        layer,
        chosen,
        parameterization=parameterization,
        spectrum=spectrum,
        steps=steps,
        negative=negative,
        seed=seed,
    )
    natural = np.full(len(chosen), np.nan)
    if images is not None:
        subject = Subject.unlabelled(classifier, images)
        index = index_units(subject, engine(None, BATCH_SIZE), [layer]).layers[layer]
        natural = (index.minimum if negative else index.maximum)[chosen].astype(np.float64)
    names = [classifier.class_names[unit] if layer == LOGITS else str(unit) for unit in chosen]
    captions = [_caption(drawn, i, name, natural[i]) for i, name in enumerate(names)]
    least = "Least" if negative else "Most"
    return Figure(layer, f"{least} exciting pictures: {layer}", tuple(drawn.images.cpu().numpy()), tuple(captions))


def _caption(drawn: Visualization, i: int, name: str, natural: float) -> str:
    text = f"{name}\n{float(drawn.activations[i]):.3g}"
    if np.isfinite(natural):
        text += f" (images: {natural:.3g})"
    if drawn.dead[i]:
        return text + ", dead"
    return text if drawn.converged[i] else text + ", still rising"


def _scaled(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """A filter as a picture: zero is gray, the largest weight black or white; of many channels the mean."""
    planes = weights if len(weights) in {1, 3} else weights.mean(0, keepdims=True)
    return np.asarray(0.5 + planes / (2 * max(float(np.abs(planes).max()), 1e-12)), dtype=np.float32)
