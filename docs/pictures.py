"""Make attacks.webp, fooling.webp and person_presence.webp in docs/images, in a few minutes.

python docs/pictures.py
"""
# ruff: noqa: INP001

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import deeptroubles as dt
from deeptroubles.images.labels import find_class
from deeptroubles.report.figure import draw_pictures
from deeptroubles.subject import logits_of

IMAGES = Path(__file__).parent / "images"
WIDTH = 1120
TARGETS = {
    "camera.png": "flamingo",
    "chelsea.png": "guacamole",
    "china.jpg": "school bus",
    "coffee.png": "strawberry",
    "rocket.jpg": "goldfish",
}
"""Photographs, and the target of the attack on each."""
UNTARGETED, TARGETED = 1, 2
"""The largest change of a pixel, in levels of 255."""
FACTOR = 30
"""The amplification of changes in the figure, around gray."""
ASCENDED = ("goldfish", "school bus", "grand piano")


def attacks(model: dt.Classifier) -> None:
    """A row per photograph: the original, then change and result of an untargeted and of a targeted attack."""
    photographs = dt.load_images("demo")
    rows = [list(photographs.table["path"]).index(name) for name in TARGETS]
    clean = torch.stack([model.prepare(photographs[row]) for row in rows])
    wanted = [find_class(model, name) for name in TARGETS.values()]
    labels = logits_of(model, clean).argmax(1)
    untargeted = dt.attacks.pgd(model, clean, labels, epsilon=UNTARGETED / 255).images
    targeted = dt.attacks.pgd(model, clean, targets=wanted, epsilon=TARGETED / 255).images
    columns = [(clean, predictions(model, clean, "original"))]
    for levels, attacked, aim in ((UNTARGETED, untargeted, "any other class"), (TARGETED, targeted, "target class")):
        change = 0.5 + FACTOR * (attacked - clean)
        columns += [
            (change, [f"change x {FACTOR}\nat most {levels}/255"] * len(clean)),
            (attacked, predictions(model, attacked, aim)),
        ]
    pictures = [pictures[i].clamp(0, 1) for i in range(len(clean)) for pictures, _ in columns]
    captions = [captions[i] for i in range(len(clean)) for _, captions in columns]
    save("attacks", pictures, captions, f"Predictions of {model.name} before and after imperceptible changes", 5)


def fooling(model: dt.Classifier) -> None:
    """Noise by gradient ascent, evolved pixels, and evolved patterns: the most confident of each."""
    classes = [find_class(model, name) for name in ASCENDED]
    found = {
        "gradient ascent": (dt.attacks.fooling_ascent(model, classes), 3),
        "evolved pixels": (dt.attacks.map_elites(model, encoding="direct", generations=20, children=60), 3),
        "evolved pattern": (dt.attacks.map_elites(model, encoding="cppn", generations=60, children=60), 12),
    }
    pictures, captions = list[Tensor](), list[str]()
    for name, (made, count) in found.items():
        won = logits_of(model, made.images).argmax(1) == made.classes  # another class may be more likely
        best = made.images[won][made.confidence[won].argsort(descending=True)[:count]]
        pictures += best
        captions += predictions(model, best, name)
    save("fooling", pictures, captions, f"Predictions of {model.name} for meaningless images", 6)


def faces() -> None:
    """Predictions of a network for faces and non-faces: faces, and fine detail without a face."""
    example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "person_presence.py"))
    pixels, classes, held_out = example["pictures"]()
    model = example["train"](pixels[~held_out], classes[~held_out])
    pictures, captions = list[Tensor](), list[str]()
    for name, shown in example["counter_examples"]().items():
        shares = example["face_shares"](model, shown)
        for i in range(0, 8 * 4, 4):
            pictures.append(torch.from_numpy(shown[i]).float()[None] / 255)
            captions.append(
                f"{name if i == 0 else ' '}\n{'face' if shares[i] > 0.5 else 'no face'}, "
                f"{100 * max(shares[i], 1 - shares[i]):.0f}%"
            )
    save(
        "person_presence",
        pictures,
        captions,
        "A network that classifies all held-out images correctly, and what else it predicts as a face",
        8,
    )


def predictions(model: dt.Classifier, pixels: Tensor, heading: str) -> list[str]:
    """The most likely class of each image, with its probability."""
    shares, classes = logits_of(model, pixels).softmax(1).max(1)
    texts = ["above 99.9%" if share > 0.999 else f"{100 * share:.1f}%" for share in shares.tolist()]
    return [f"{heading}\n{model.class_names[name]}, {text}" for name, text in zip(classes.tolist(), texts, strict=True)]


def save(name: str, pictures: list[Tensor], captions: list[str], title: str, columns: int) -> None:
    """Draw a figure, and save it as WebP."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "page.png"
        draw_pictures([picture.numpy() for picture in pictures], captions, title, drawn, columns)
        with Image.open(drawn) as page:
            smaller = page.convert("RGB")
            smaller.thumbnail((WIDTH, 10 * WIDTH))
            smaller.save(IMAGES / f"{name}.webp", quality=75, method=6)


if __name__ == "__main__":
    classifier = dt.load_classifier("efficientnet-lite0")
    attacks(classifier)
    fooling(classifier)
    faces()
