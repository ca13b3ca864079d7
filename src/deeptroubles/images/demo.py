"""The photographs that come with scikit-image and scikit-learn, to try things out without any data of one's own.

Labels say what a careful person who knows the classes of ImageNet sees, and not what any model predicts. Most of the
photographs show something that ImageNet has no class for (coins, a dahlia, a space rocket that is no missile, a clock
blurred beyond recognition) or over which such people would disagree (a Chinese tower: palace or stupa?); they have
no label. Photographs whose licence is not stated (moon, page, motorcycle) and pictures that are not photographs are
left out.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from deeptroubles.images.folder import Files
from deeptroubles.images.image_set import ImageSet, image_table

_SCIKIT_IMAGE = ("skimage", "data")
_SCIKIT_LEARN = ("sklearn", "datasets/images")

# file, the package it comes with, label (as ImageNet names its class), credit
_PHOTOGRAPHS = (
    ("astronaut.png", _SCIKIT_IMAGE, None, "Eileen Collins, NASA Great Images database, public domain"),
    ("camera.png", _SCIKIT_IMAGE, "tripod", "Lav Varshney, CC0"),
    ("chelsea.png", _SCIKIT_IMAGE, "tabby, tabby cat", "Chelsea the cat, Stéfan van der Walt, CC0"),
    ("china.jpg", _SCIKIT_LEARN, None, "danielbuechele on Flickr (photograph 6061409035), CC BY 2.0"),
    ("clock_motion.png", _SCIKIT_IMAGE, None, "Stéfan van der Walt, public domain"),
    ("coffee.png", _SCIKIT_IMAGE, "espresso", "Rachel Michetti, courtesy of Pikolo Espresso Bar, CC0"),
    ("coins.png", _SCIKIT_IMAGE, None, "Brooklyn Museum Collection, no known copyright restrictions"),
    ("flower.jpg", _SCIKIT_LEARN, None, "vultilion on Flickr (photograph 6056698931), CC BY 2.0"),
    ("grass.png", _SCIKIT_IMAGE, None, "linolafett on DeviantArt, CC0"),
    ("gravel.png", _SCIKIT_IMAGE, None, "CC0Textures (Gravel04), CC0"),
    ("hubble_deep_field.jpg", _SCIKIT_IMAGE, None, "NASA, HubbleSite, public domain"),
    ("ihc.png", _SCIKIT_IMAGE, None, "Center for Microscopy and Molecular Imaging, no known copyright restrictions"),
    ("retina.jpg", _SCIKIT_IMAGE, None, "Mikael Häggström, Wikimedia Commons, CC0"),
    ("rocket.jpg", _SCIKIT_IMAGE, None, "SpaceX, public domain"),
    ("text.png", _SCIKIT_IMAGE, None, "Wikipedia (Corner.png), public domain"),
)


def load_demo() -> ImageSet:
    """Load the photographs, with an ImageNet class as label where one truly fits."""
    files = [str(_package_folder(*package) / name) for name, package, _, _ in _PHOTOGRAPHS]
    table = image_table([name for name, *_ in _PHOTOGRAPHS], [label for _, _, label, _ in _PHOTOGRAPHS])
    origin = {_SCIKIT_IMAGE: "scikit-image", _SCIKIT_LEARN: "scikit-learn"}
    credit = tuple(f"{name}: {text} (from {origin[package]})" for name, package, _, text in _PHOTOGRAPHS)
    note = "The demo photographs show how an audit reads; they are too few to judge a model by."
    return ImageSet("demo", table, Files(Path(), files), credits=credit, notes=(note,))


def _package_folder(package: str, folder: str) -> Path:
    """Find a folder inside a package without importing the package, which takes long for scikit-learn."""
    spec = find_spec(package)
    roots = spec.submodule_search_locations if spec else None
    return Path(*(roots or [])[:1], folder)
