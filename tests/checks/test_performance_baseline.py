"""performance.baseline: a network that is worse than a color histogram, and one that sees what no baseline sees."""

from __future__ import annotations

import numpy as np
import torch

from deeptroubles import ImageSet, Verdict, audit
from tests.networks import formula
from tests.photographs import textures


def tinted(each=30, noise=0.0):
    """Textures of two tints; with noise, so many of the labels are drawn."""
    random = np.random.default_rng(0)
    labels = np.arange(2 * each) % 2
    pixels = textures(2 * each) * 0.6
    pixels[torch.from_numpy(labels == 0), 0] += 0.4
    pixels[torch.from_numpy(labels == 1), 2] += 0.4
    shown = np.where(random.random(2 * each) < noise, random.integers(0, 2, 2 * each), labels)
    arrays = np.round(pixels.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    return ImageSet.from_arrays(arrays, [("red", "blue")[k] for k in shown])


def relations(each=40, seed=0):
    """A dot at one of two heights on the left, and on the right: are they level? No sum over edges shows it."""
    random = np.random.default_rng(seed)
    pixels = np.round(textures(2 * each, 32, seed, 1)[:, 0].numpy() * 100).astype(np.uint8)
    labels = np.arange(2 * each) % 2
    for image, crossed in zip(pixels, labels, strict=True):
        left = int(random.integers(2))
        for x, low in ((8, left), (24, left ^ int(crossed))):
            image[8 + 16 * low - 2 : 8 + 16 * low + 3, x - 2 : x + 3] = 255
    return ImageSet.from_arrays(pixels, [("level", "crossed")[k] for k in labels])


def sees_relations():
    def logits(x):
        bright = (x[:, 0] > 0.9).float()
        height = torch.linspace(-1, 1, 32)[:, None]
        level = ((bright * height)[:, :, :16].sum((1, 2))) * ((bright * height)[:, :, 16:].sum((1, 2)))
        return torch.stack([level, -level], 1)

    return formula(logits, 32, 1, ("level", "crossed"))


def by_tint():
    return formula(lambda x: torch.stack([x[:, 0].mean((1, 2)), x[:, 2].mean((1, 2))], 1) * 20, 32, 3, ("red", "blue"))


def planted():
    """The tint says the class; the network looks at the brightness of a corner."""
    logits = lambda x: torch.stack([x[:, :, :4, :4].mean((1, 2, 3)) - 0.4, 0.0 * x[:, 0, 0, 0]], 1)  # noqa: E731
    return formula(logits, 32, 3, ("red", "blue")), tinted()


def clean():
    return sees_relations(), relations()


def finding(classifier, images, **options):
    return next(
        f
        for f in audit(classifier, images, checks=["performance.baseline"], **options).findings
        if f.check == "performance.baseline"
    )


def test_colors_that_are_enough_are_a_warning():
    found = finding(by_tint(), tinted(60))
    assert found.verdict == Verdict.WARN
    assert "colors alone" in found.claim


def test_classes_that_no_image_shows_are_no_disadvantage():
    names = ("red", "blue", "other")
    classifier = formula(
        lambda x: torch.stack([x[:, 0].mean((1, 2)), x[:, 2].mean((1, 2)), 9 + 0 * x[:, 0, 0, 0]], 1), 32, 3, names
    )
    assert finding(classifier, tinted(60)).verdict == Verdict.WARN


def test_a_class_with_few_images_is_inconclusive():
    assert finding(by_tint(), tinted(4)).verdict == Verdict.INCONCLUSIVE


def test_baselines_are_fitted_on_training_images(tmp_path):
    images = tinted(15)
    for i, label in enumerate(images.labels):
        (tmp_path / label).mkdir(exist_ok=True)
        images[i].save(tmp_path / label / f"{i}.png")
    (tmp_path / "red" / "broken.png").write_bytes(b"no picture")
    classifier, audited = planted()
    found = finding(classifier, audited, training=str(tmp_path))
    assert found.verdict == Verdict.FAIL
    assert any("30 images (the training images)" in caveat for caveat in found.caveats)


def test_counts_of_the_table_add_up_and_examples_are_linked():
    found = finding(*planted())
    table = next(e for e in found.evidence if getattr(e, "title", "").startswith("On how many"))
    assert all(sum(row[1:5]) == 60 for row in table.rows)
    grids = [e for e in found.evidence if e.kind == "image_grid"]
    assert all(item.picture.row is not None for grid in grids for item in grid.items)
