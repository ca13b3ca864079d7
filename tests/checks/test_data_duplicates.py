"""data.duplicates: duplicates within and across splits, flat images, and what is left out."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.planted.scenes import SHAPES, draw_parts, render
from tests.networks import formula

NAMES = tuple(SHAPES)


def classifier():
    return formula(
        lambda x: torch.stack([x.mean((1, 2, 3)) * k for k in range(6)], 1), size=32, channels=3, names=NAMES
    )


@cache
def scenes(count=120, seed=0):
    pixels, _ = render(draw_parts(torch.arange(count) % 6, 48, seed))
    return [np.round(p * 255).astype(np.uint8) for p in pixels.permute(0, 2, 3, 1).numpy()]


def recompressed(pixels, quality=70, crop=0):
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.crop((crop, crop, image.width - crop, image.height - crop)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def images(pixels, splits=None, labels=None):
    labels = [NAMES[i % 6] for i in range(len(pixels))] if labels is None else labels
    return ImageSet.from_arrays(pixels, labels, {"split": splits} if splits is not None else None)


def planted():
    """Twelve test images are training images, recompressed."""
    pixels = [*scenes(), *(recompressed(p) for p in scenes()[:12])]
    return classifier(), images(pixels, ["train"] * 100 + ["test"] * 32)


def clean():
    return classifier(), images(scenes(), ["train"] * 90 + ["test"] * 30)


def found(*arguments, **settings):
    (finding,) = audit(classifier(), images(*arguments, **settings), checks=["data.duplicates"]).findings
    return finding


def test_leaks_are_counted_and_shown():
    finding = audit(*planted(), checks=["data.duplicates"]).findings[0]
    assert "of 132 images have a duplicate (24 in 12 groups, 0 exact); 24 have one in another split" in finding.claim
    table = finding.evidence[-1]
    assert len(table.rows) == 12
    assert {frozenset(row[4].split(" | ")) for row in table.rows} == {frozenset({"train", "test"})}


def test_one_exact_copy_in_another_split_fails():
    finding = found(
        [*scenes(), scenes()[5]], ["train"] * 120 + ["test"], [*(NAMES[i % 6] for i in range(120)), NAMES[5]]
    )
    assert finding.verdict == Verdict.FAIL
    assert "of 121 images have a duplicate (2 in 1 group, 2 exact)" in finding.claim


def test_the_same_copy_within_one_split_does_not():
    finding = found([*scenes(), scenes()[5]], labels=[*(NAMES[i % 6] for i in range(120)), NAMES[5]])
    assert finding.verdict in {Verdict.PASS, Verdict.INCONCLUSIVE}
    assert "no column `split`" in " ".join(finding.caveats)


def test_duplicates_with_another_label_are_reported():
    pixels = [*scenes(), *(recompressed(p) for p in scenes()[:4])]
    finding = found(pixels, labels=[*(NAMES[i % 6] for i in range(120)), *(NAMES[(i + 1) % 6] for i in range(4))])
    assert finding.verdict == Verdict.WARN
    assert "8 have one with another label" in finding.claim


def test_images_of_one_color_are_no_duplicates():
    flat = [np.full((40, 40, 3), shade, dtype=np.uint8) for shade in [0] * 20 + [255] * 20]
    finding = found([*scenes(), *flat], ["train", "test"] * 80)
    assert finding.verdict == Verdict.PASS
    assert finding.claim.startswith("0% (95% CI 0% to 3.1%) of 120 images")
    assert "40 images of nearly one color not compared." in finding.caveats
    only = found(flat, ["train", "test"] * 20)
    assert only.verdict == Verdict.INCONCLUSIVE


def test_many_times_the_same_image_is_one_group():
    finding = found([*scenes()[:60], *[scenes()[3]] * 400], labels=["disc"] * 460)
    assert finding.verdict == Verdict.FAIL
    assert "of 460 images have a duplicate (401 in 1 group" in finding.claim


def test_small_images_are_compared_to_the_pixel_only():
    small = [np.asarray(Image.fromarray(p).resize((8, 8))) for p in scenes()]
    finding = found([*small, small[0]])
    assert "of 121 images have a duplicate (2 in 1 group" in finding.claim
    assert any("compared for exact duplicates only" in caveat for caveat in finding.caveats)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_images_are_no_verdict(count):
    assert found(scenes()[:count]).verdict == Verdict.INCONCLUSIVE


def test_splits_without_names_are_not_compared():
    finding = found([*scenes(), scenes()[0]], ["train"] * 120 + [None], [*(NAMES[i % 6] for i in range(121))])
    assert finding.verdict != Verdict.FAIL
    assert any("only one value (train)" in caveat for caveat in finding.caveats)


def test_images_similar_by_nature_are_no_significant_leak():
    """Eyes at many places: as many pairs are almost similar enough as are similar enough, so none counts."""
    random = np.random.default_rng(0)
    base = scenes()[0].astype(float)
    pixels = [
        np.clip(base + sum(random.normal() * s for s in parts(random)), 0, 255).astype(np.uint8) for _ in range(60)
    ]
    finding = found(pixels, ["train", "test"] * 30, ["disc"] * 60)
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert "are within the expected false positives" in finding.claim


def parts(random):
    """Three smooth pictures."""
    small = random.normal(size=(3, 5, 5, 3)) * 15
    return [
        np.asarray(Image.fromarray(np.uint8(128 + p)).resize((48, 48), Image.Resampling.BICUBIC)) - 128.0 for p in small
    ]
