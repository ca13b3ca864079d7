"""data.defects: each kind is found, clean pictures are not, and unreadable files count."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import stats

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.statistics.intervals import wilson
from tests.checks.test_data_duplicates import NAMES, classifier, scenes


def images(pixels):
    return ImageSet.from_arrays(pixels, [NAMES[i % 6] for i in range(len(pixels))])


def blurred(pixels, radius=4):
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def planted():
    """A quarter is blurred, dark, or of one color."""
    pixels = scenes()
    worse = [blurred, lambda p: p // 8, lambda p: np.full_like(p, p.mean()), lambda p: 225 + p // 9]
    return classifier(), images([worse[i % 4](p) if i < 32 else p for i, p in enumerate(pixels)])


def clean():
    return classifier(), images(scenes())


def found(given):
    (finding,) = audit(classifier(), given, checks=["data.defects"]).findings
    return finding, {row[0]: row[1] for row in finding.evidence[1].rows}


def test_each_kind_is_counted_and_shown():
    finding, kinds = found(planted()[1])
    assert kinds["nearly blank"] == 8
    assert kinds["too dark"] == 8
    assert kinds["too bright"] == 8
    assert kinds["blurred"] >= 6
    grid = finding.evidence[-1]
    assert {item.caption for item in grid.items} >= {"nearly blank", "too dark", "too bright", "blurred"}


def test_a_class_of_defective_images_fails_where_few_of_all_are():
    pixels = [p // 8 if i % 6 == 2 and i < 60 else p for i, p in enumerate(scenes())]
    finding, _ = found(images(pixels))
    assert finding.verdict == Verdict.FAIL
    assert "in class triangle, 10 of 20 images are" in finding.claim


def test_sizes_and_shapes_are_odd_next_to_the_others():
    pixels = [*scenes()[:60], np.kron(scenes()[60], np.ones((5, 5, 1), np.uint8)), np.tile(scenes()[61], (1, 5, 1))]
    _, kinds = found(images(pixels))
    assert (kinds["odd size"], kinds["odd shape"]) == (1, 1)
    wide = [np.tile(p, (1, 5, 1)) for p in scenes()[:40]]
    assert found(images(wide))[1]["odd shape"] == 0


def test_grayscale_counts_among_color_images_only():
    gray = [np.repeat(p.mean(2, keepdims=True).astype(np.uint8), 3, 2) for p in scenes()]
    assert found(images([*gray[:5], *scenes()[5:]]))[1]["grayscale"] == 5
    assert found(images(gray))[1]["grayscale"] == 0


def test_unreadable_files_count_and_all_but_one_may_be(tmp_path):
    for i in range(20):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    Image.fromarray(scenes()[0]).save(tmp_path / "good.png")
    from deeptroubles import load_images

    result = audit(classifier(), load_images(tmp_path), checks=["data"])
    findings = {f.check: f for f in result.findings}
    assert findings["data.defects"].verdict == Verdict.FAIL
    assert "20 unreadable" in findings["data.defects"].claim
    assert findings["data.duplicates"].verdict == Verdict.INCONCLUSIVE
    assert findings["data.balance"].verdict == Verdict.SKIPPED
    assert not any(f.verdict == Verdict.ERROR for f in result.findings)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (2, 2, 3)])
def test_the_smallest_pictures_are_no_trouble(shape):
    given = ImageSet.from_arrays([np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)] * 3)
    assert found(given)[0].verdict == Verdict.INCONCLUSIVE


def test_equal_defects_in_all_classes_fail_no_more_often_than_the_level_says():
    """At a defect rate of exactly the threshold in each of six classes, some class is called worse in at most 5 %."""
    random, runs, kinds, count = np.random.default_rng(0), 4000, 6, 60
    lows = np.array([wilson(k, count, 1 - 0.05 / kinds).low for k in range(count + 1)])
    failing = (lows[random.binomial(count, 0.10, (runs, kinds))] > 0.10).any(1).sum()
    assert failing <= stats.binom.ppf(0.999, runs, 0.05)


def test_clean_scenes_are_called_defective_less_than_once_in_a_hundred():
    count = 0
    for seed in range(3):
        _, kinds = found(ImageSet.from_arrays(scenes(200, seed + 20)))
        count += sum(kinds.values())
    assert wilson(count, 600).high < 0.02
