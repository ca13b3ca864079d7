"""The image that maximizes each filter."""

from __future__ import annotations

from deeptroubles.checks.wording import percent
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.tour.shared.drawing import grid
from deeptroubles.tour.shared.networks import embedded
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_LAYERS = {"_blocks.1": "early", "_blocks.4": "middle", "_blocks.9": "late"}


def best_for_each_filter(workshop: Workshop) -> Shown:
    """Which image would excite a filter most, if it could be any image?"""
    classifier = embedded(workshop)
    units, steps = list(range(workshop.pick(4, 8))), workshop.pick(32, 128)
    grids, stronger = [], []
    for layer, name in _LAYERS.items():
        found = activation_maximization(classifier, layer, units, steps=steps, seed=workshop.seed)
        captions = [f"unit {unit}" for unit in units]
        grids.append(grid(f"{name.capitalize()} layer ({layer})", found.images, captions, columns=4))
        rise = (found.activations > found.start_activations).float()
        stronger += rise.tolist()
    share = sum(stronger) / len(stronger)
    return Shown(
        see=[
            (
                "Each picture began as noise and was changed until one filter responded most. Early filters want "
                "fine stripes and edges, later ones textures, and late ones larger motifs."
            ),
            (
                f"{percent(share)} of the pictures excite their filter more than the noise that they began as. A "
                "picture shows what excites a filter, not what it does on real images: compare it with the images "
                "that excite it."
            ),
        ],
        numbers=[Number(label="Pictures that excite their filter more than noise", value=share, low=1.0)],
        pictures=grids,
        commands=[
            "deeptroubles visualize efficientnet-lite0 _blocks.9:0-7 --out filters.png",
            "deeptroubles units efficientnet-lite0 --images photos/ --layers _blocks.9 --draw 8 --out runs/units",
        ],
        tries=["--parameterization maco keeps the spectrum of your images, which makes pictures look more natural."],
    )
