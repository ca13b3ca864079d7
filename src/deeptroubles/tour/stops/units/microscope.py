"""The microscope: one unit under five techniques."""

from __future__ import annotations

import torch

from deeptroubles.engine import LocalEngine
from deeptroubles.methods.units.activation_maximization import activation_maximization
from deeptroubles.methods.units.caricature import caricature
from deeptroubles.methods.units.deep_dream import deep_dream
from deeptroubles.methods.units.feature_maps import feature_maps
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.subject import Subject
from deeptroubles.tour.shared.drawing import grid, over_pictures
from deeptroubles.tour.shared.networks import embedded, photograph, photographs
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Number, Shown

_LAYER = "_blocks.9"


def microscope(workshop: Workshop) -> Shown:
    """One unit, looked at in five ways: do they tell the same story?"""
    classifier, images = embedded(workshop), photographs()
    steps = workshop.pick(40, 256)
    index = index_units(Subject.unlabelled(classifier, images), LocalEngine(), [_LAYER], samples=5).layers[_LAYER]
    unit = int((index.maximum / index.values.mean(0).clip(1e-6)).argmax())
    image = photograph(classifier, "chelsea")
    made = activation_maximization(classifier, _LAYER, [unit] * 2, diversity=0.5, steps=steps, seed=workshop.seed)
    opposite = activation_maximization(classifier, _LAYER, [unit], negative=True, steps=steps, seed=workshop.seed)
    dream = deep_dream(classifier, image, _LAYER, octaves=workshop.pick(2, 4), steps=workshop.pick(8, 10))
    drawn = caricature(classifier, image, _LAYER, steps=steps, seed=workshop.seed)
    rows = index.top.images[unit].tolist()
    strongest = torch.stack([classifier.prepare(images[row]) for row in rows])
    maps = feature_maps(classifier, strongest, _LAYER, [unit])[:, 0]
    names = [str(images.table["path"].iloc[row]) for row in rows]
    change = float((dream - image).abs().mean())
    above = float(made.activations.min()) > float(index.mean[unit])
    return Shown(
        see=[
            (
                f"Unit {unit} of {_LAYER}. Feature visualization: two different pictures made for it, and one that it "
                "responds to least. Dataset samples: the photographs that excite it most, with where they do."
            ),
            (
                "Deep dream changes a photograph so that the whole layer responds more; a caricature is drawn from "
                "noise so that the layer responds as it does to the photograph, only more so. Both belong to the "
                "layer."
            ),
            (
                "The fifth technique, texts that excite a unit, needs a network that knows texts (CLIP); the page of "
                "deeptroubles serve shows it for those."
            ),
        ],
        numbers=[
            Number(
                label="The made picture excites the unit more than the average photograph (1: yes)",
                value=float(above),
                low=1,
                high=1,
                unit="number",
            ),
            Number(label="Mean change of a pixel by the dream", value=change, low=0.01),
        ],
        pictures=[
            grid(
                "Feature visualization",
                [*made.images, *opposite.images],
                ["most exciting", "most exciting, another one", "least exciting"],
            ),
            over_pictures(
                "Dataset samples: the strongest photographs, and where", maps, strongest, names, "activation"
            ),
            grid("Deep dream and caricature", [image, dream, drawn], ["photograph", "deep dream", "caricature"]),
        ],
        commands=[
            "deeptroubles units efficientnet-lite0 --images photos/ --layers _blocks.9 --draw 8 --out runs/units",
            "deeptroubles serve runs/units   # the microscope",
        ],
        tries=["A picture can mislead: the page says for each how far it can be trusted."],
    )
