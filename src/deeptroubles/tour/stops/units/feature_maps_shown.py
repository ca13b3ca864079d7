"""Are the features meaningful? Feature maps and first filters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deeptroubles.checks.wording import percent
from deeptroubles.classifier import Classifier
from deeptroubles.findings import Curve, Series
from deeptroubles.methods.units.feature_maps import feature_maps, first_filters
from deeptroubles.tour.shared.drawing import grid
from deeptroubles.tour.shared.networks import embedded, photograph
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_LAYERS = {"_swish": "first layer", "_blocks.4": "middle", "_blocks.14": "deep"}
_ANGLES, _FILTERS = 12, 21


def feature_maps_shown(workshop: Workshop) -> Shown:
    """What do the layers of a network see in a photograph? Edges, parts, or nothing with a name?"""
    classifier = embedded(workshop)
    image = photograph(classifier, "chelsea")
    weights = first_filters(classifier)
    filters = 0.5 + weights / (2 * weights.abs().amax((1, 2, 3), keepdim=True))
    grids = []
    for layer, name in _LAYERS.items():
        maps = feature_maps(classifier, image, layer)[0]
        chosen = maps.flatten(1).std(1).argsort(descending=True)[:6].tolist()
        pictures = [image, *(_gray(maps[k]) for k in chosen)]
        grids.append(grid(f"Feature maps: {name} ({layer})", pictures, ["photograph", *(f"unit {k}" for k in chosen)]))
    tuning = _tuning(classifier)
    selectivity = (tuning.amax(0) - tuning.amin(0)) / (tuning.amax(0) + tuning.amin(0)).clamp(min=1e-6)
    picky = float((selectivity > 0.5).float().mean())
    best = selectivity.argsort(descending=True)[:3].tolist()
    degrees = [180 * k / _ANGLES for k in range(_ANGLES)]
    return Shown(
        see=[
            (
                "Bright is active. In the first layer a map is an edge or a color, and the photograph can be "
                "recognized. In the middle it becomes parts and textures. Deep maps have 7 x 7 cells, and few of "
                "them have a name."
            ),
            (
                f"Gratings of twelve directions show what the first layer is for: {percent(picky)} of its units "
                "respond at least three times as strongly to their best direction as to their worst."
            ),
        ],
        numbers=[Number(label="First-layer units with a preferred direction", value=picky, low=0.2)],
        pictures=[
            grid(
                f"{_FILTERS} of the {len(filters)} first filters (3 x 3 pixels, in color; gray is 0)",
                filters[:_FILTERS],
                [str(k) for k in range(_FILTERS)],
                columns=7,
            ),
            *grids,
            Curve(
                title="Response of three first-layer units to gratings",
                x_label="direction of the grating in degrees",
                y_label="variation of the response",
                series=[Series(name=f"unit {k}", x=degrees, y=tuning[:, k].tolist()) for k in best],
            ),
        ],
        commands=[
            "deeptroubles visualize efficientnet-lite0 _conv_stem --technique filters --out filters.png",
            "deeptroubles visualize efficientnet-lite0 _blocks.4 --technique maps --image cat.jpg --out maps.png",
        ],
        tries=["deeptroubles serve RUN shows the map of every unit on every image, in the microscope."],
    )


def _gray(values: Tensor) -> Tensor:
    """A map as a picture, 1 x 112 x 112: bright where the unit is active."""
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) / max(high - low, 1e-9)
    return torch.nn.functional.interpolate(scaled[None, None], size=112, mode="nearest")[0]


def _tuning(classifier: Classifier) -> Tensor:
    """How strongly the first filters vary over gratings of each direction, angles x units."""
    side = classifier.size[0]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.arange(_ANGLES) * math.pi / _ANGLES
    waves = [torch.sin((x * a.cos() + y * a.sin()) * 2 * math.pi / 5) for a in angles]
    gratings = torch.stack([(0.5 + 0.5 * wave).expand(3, -1, -1) for wave in waves])
    return feature_maps(classifier, gratings, "_conv_stem")[:, :, 4:-4, 4:-4].std((2, 3))
