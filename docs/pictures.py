"""Makes attacks, fooling and person_presence.webp in docs/images: `python docs/pictures.py` takes some minutes."""
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
TURNED = {
    "camera.png": "flamingo",
    "chelsea.png": "guacamole",
    "china.jpg": "school bus",
    "coffee.png": "strawberry",
    "rocket.jpg": "goldfish",
}
"""Photographs, and what the targeted attack turns each of them into."""
UNTARGETED, TARGETED = 1, 2
"""By how many of 255 levels a pixel may change."""
FACTOR = 30
"""How much larger changes are drawn, around grey."""
ASCENDED = ("goldfish", "school bus", "grand piano")


def attacks(model: dt.Classifier) -> None:
    """A row per photograph: as it is, then change and result of an untargeted and of a targeted attack."""
    photographs = dt.load_images("demo")
    rows = [list(photographs.table["path"]).index(name) for name in TURNED]
    clean = torch.stack([model.prepare(photographs[row]) for row in rows])
    wanted = [find_class(model, name) for name in TURNED.values()]
    labels = logits_of(model, clean).argmax(1)
    untargeted = dt.pgd(model, clean, labels, epsilon=UNTARGETED / 255).images
    targeted = dt.pgd(model, clean, targets=wanted, epsilon=TARGETED / 255).images
    columns = [(clean, answers(model, clean, "as it is"))]
    for levels, attacked, aim in ((UNTARGETED, untargeted, "any other answer"), (TARGETED, targeted, "chosen answer")):
        change = 0.5 + FACTOR * (attacked - clean)
        columns += [
            (change, [f"change x {FACTOR}\nat most {levels}/255"] * len(clean)),
            (attacked, answers(model, attacked, aim)),
        ]
    pictures = [pictures[i].clamp(0, 1) for i in range(len(clean)) for pictures, _ in columns]
    captions = [captions[i] for i in range(len(clean)) for _, captions in columns]
    save("attacks", pictures, captions, f"What {model.name} answers to photographs, and to changes too small to see", 5)


def fooling(model: dt.Classifier) -> None:
    """Noise by gradient ascent and evolved pixel by pixel, and evolved patterns: the surest of each."""
    classes = [find_class(model, name) for name in ASCENDED]
    found = {
        "gradient ascent": (dt.fooling_ascent(model, classes), 3),
        "evolved pixels": (dt.map_elites(model, encoding="direct", generations=20, children=60), 3),
        "evolved pattern": (dt.map_elites(model, encoding="cppn", generations=60, children=60), 12),
    }
    pictures, captions = list[Tensor](), list[str]()
    for name, (made, count) in found.items():
        won = logits_of(model, made.images).argmax(1) == made.classes  # a picture may be surest of another class
        surest = made.images[won][made.confidence[won].argsort(descending=True)[:count]]
        pictures += surest
        captions += answers(model, surest, name)
    save("fooling", pictures, captions, f"What {model.name} answers to pictures that show nothing", 6)


def faces() -> None:
    """What a network that tells faces from non-faces answers to faces, and to what has fine detail but no face."""
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
                f"{100 * max(shares[i], 1 - shares[i]):.0f} %"
            )
    save(
        "person_presence",
        pictures,
        captions,
        "A network that is right on all held-out pictures, and what else it takes for a face",
        8,
    )


def answers(model: dt.Classifier, pixels: Tensor, heading: str) -> list[str]:
    """The most likely class of each picture, with its probability."""
    shares, classes = logits_of(model, pixels).softmax(1).max(1)
    words = ["above 99.9 %" if share > 0.999 else f"{100 * share:.1f} %" for share in shares.tolist()]
    return [f"{heading}\n{model.class_names[name]}, {word}" for name, word in zip(classes.tolist(), words, strict=True)]


def save(name: str, pictures: list[Tensor], captions: list[str], title: str, columns: int) -> None:
    """Draw a page, and keep it as WebP."""
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
