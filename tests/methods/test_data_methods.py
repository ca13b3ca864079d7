"""Shares of classes, confident learning, and defects of pictures: closed forms, peers, and the level of tests."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import stats
from skimage import data

from deeptroubles.methods.properties.defects import DEFECTS, PictureFacts, find_defects, picture_facts
from deeptroubles.statistics.class_shares import drift, effective_number, largest_to_smallest
from deeptroubles.statistics.confident_learning import confident_labels, contradicted_by_chance
from tests.methods.test_near_duplicates import photographs

# --- shares of classes


def test_the_effective_number_of_equal_classes_is_their_number():
    assert effective_number(np.array([7, 7, 7, 0])) == pytest.approx(3)
    assert effective_number(np.array([0, 12])) == pytest.approx(1)
    counts = np.array([5, 9, 1, 30])
    assert effective_number(counts) == pytest.approx(np.exp(stats.entropy(counts)))


def test_of_two_classes_the_ratio_is_the_odds_of_a_share():
    from deeptroubles.statistics.intervals import wilson

    ratio, share = largest_to_smallest(np.array([30, 10])), wilson(30, 40)
    assert ratio.value == 3
    assert ratio.low == pytest.approx(share.low / (1 - share.low))
    assert ratio.high == pytest.approx(share.high / (1 - share.high))


def test_equal_classes_are_called_unequal_no_more_often_than_the_level_says():
    random, runs = np.random.default_rng(0), 2000
    for kinds, count in ((2, 80), (5, 200), (10, 300)):
        counts = random.multinomial(count, np.full(kinds, 1 / kinds), runs)
        found = sum(largest_to_smallest(row).low > 1 for row in counts[counts.min(1) > 0])
        assert found <= stats.binom.ppf(0.999, runs, 0.05)


def test_the_ratio_of_two_classes_is_covered():
    random = np.random.default_rng(0)
    seen = random.binomial(120, 0.75, 3000)
    ends = [largest_to_smallest(np.array([k, 120 - k]))[1:] for k in seen]
    assert 0.93 < np.mean([low <= 3 <= high for low, high in ends]) < 0.975


def test_splits_of_one_distribution_differ_as_often_as_the_level_says():
    random, runs, level = np.random.default_rng(1), 400, 0.05
    shares, found, above = np.array([0.5, 0.3, 0.15, 0.05]), 0, 0
    for seed in range(runs):
        table = np.stack([random.multinomial(300, shares), random.multinomial(120, shares)])
        result = drift(table, seed=seed, times=199)
        found += result.p <= level
        above += result.distance.low > 0
    low, high = stats.binom.ppf([0.001, 0.999], runs, level)
    assert low <= found <= high
    assert above <= high


def test_the_test_of_drift_agrees_with_fishers():
    for table in ([[30, 10], [22, 18]], [[50, 50], [30, 8]], [[12, 9], [11, 10]]):
        found = drift(np.array(table), seed=0, times=20_000).p
        assert found == pytest.approx(stats.fisher_exact(table).pvalue, abs=0.02)


def test_splits_with_nothing_in_common_differ_wholly():
    result = drift(np.array([[60, 0], [0, 60], [30, 30]]), seed=0)
    assert result.split in {0, 1}
    assert result.p == pytest.approx(0.001)
    assert result.distance.low > 0.5
    assert drift(np.array([[60], [20]]), seed=0).p == 1


# --- confident learning


def slow_confident(probabilities, labels):
    """The confident joint, image by image."""
    kinds = probabilities.shape[1]
    mean = [
        np.mean([p[k] for p, y in zip(probabilities, labels, strict=True) if y == k]) if k in labels else np.inf
        for k in range(kinds)
    ]
    found = []
    for p, label in zip(probabilities, labels, strict=True):
        able = [k for k in range(kinds) if p[k] >= mean[k]]
        best = max(able, key=lambda k: p[k]) if able else label
        found.append(best if best != label and int(np.argmax(p)) != label else -1)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_contradicted_labels_are_those_of_a_slow_loop_and_of_the_peer(seed):
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(5, 0.4), 150)
    labels = np.where(random.random(150) < 0.7, probabilities.argmax(1), random.integers(0, 4, 150))
    found = confident_labels(probabilities, labels)
    assert found.tolist() == slow_confident(probabilities, labels)
    peer = pytest.importorskip("cleanlab.filter")
    labels = np.where(labels == 4, 3, labels) if seed == 4 else labels  # a class without images
    issues = peer.find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    assert np.array_equal(confident_labels(probabilities, labels) >= 0, issues)


def test_right_labels_of_an_unsure_classifier_are_called_wrong_as_often_as_the_level_says():
    """Labels are drawn from the probabilities: nothing is wrong with them but what is expected."""
    random, runs, found = np.random.default_rng(0), 300, 0
    for seed in range(runs):
        probabilities = random.dirichlet(np.full(4, 0.3), 200)
        labels = (random.random((200, 1)) > probabilities.cumsum(1)).sum(1)
        chance = contradicted_by_chance(probabilities, seed=seed)
        seen = (confident_labels(probabilities, labels) >= 0).sum()
        found += (1 + (chance >= seen).sum()) / (1 + len(chance)) < 0.05
    assert found <= stats.binom.ppf(0.999, runs, 0.05)
    assert found > 0  # ties make it strict, not blind


def test_a_sure_classifier_expects_no_mistakes():
    probabilities = np.eye(3)[np.arange(60) % 3]
    assert contradicted_by_chance(probabilities, seed=0).tolist() == [0] * 99


# --- defects


def kinds(images):
    facts = [picture_facts(image) for image in images]
    found = find_defects(PictureFacts(**{name: np.array([f[name] for f in facts]) for name in facts[0]}))
    return {name: has.tolist() for name, has in found.items()}


def blurred(image, share):
    return image.convert("RGB").filter(ImageFilter.GaussianBlur(share * max(image.size)))


def test_photographs_are_clean_and_blurred_ones_are_not():
    """The limits were chosen on these photographs: the clock, moved while it was taken, is the only blurred one."""
    images = photographs()
    found = kinds(images)
    clock = 4
    assert [i for i, is_blurred in enumerate(found["blurred"]) if is_blurred] == [clock]
    for name in ("nearly blank", "too dark", "too bright", "low contrast"):
        assert not any(found[name]), name
    assert np.mean(kinds([blurred(image, 0.02) for image in images])["blurred"]) >= 0.8


def test_uniform_and_large_pictures_are_not_called_blurred():
    """What CleanVision was reported to do (its issue 120)."""
    smooth = Image.fromarray(np.full((400, 400, 3), 90, dtype=np.uint8))
    photograph = Image.fromarray(data.astronaut())
    large = photograph.resize((4096, 4096), Image.Resampling.BICUBIC)
    noisy = np.clip(128 + np.random.default_rng(0).normal(size=(300, 300)) * 4, 0, 255).astype(np.uint8)
    assert kinds([smooth, photograph, large, Image.fromarray(noisy)])["blurred"] == [False] * 4


def test_exposure_and_blanks():
    photograph = data.astronaut()
    images = [photograph // 6, 220 + photograph // 8, 110 + photograph // 9, np.full_like(photograph, 130), photograph]
    found = kinds([Image.fromarray(image) for image in images])
    for i, name in enumerate(("too dark", "too bright", "low contrast", "nearly blank")):
        assert found[name] == [k == i for k in range(5)], name


def test_a_picture_whose_colors_differ_at_one_brightness_has_contrast():
    red_green = np.zeros((64, 64, 3), dtype=np.uint8)
    red_green[:, :32, 0], red_green[:, 32:, 1] = 250, 127
    found = kinds([Image.fromarray(red_green)])
    assert not any(found[name][0] for name in DEFECTS)


def test_the_peer_agrees_on_plain_cases(tmp_path):
    imagelab = pytest.importorskip("cleanvision").Imagelab
    sharp = [photographs()[i].convert("RGB") for i in (0, 1, 2, 3, 5, 6)]
    images = [*sharp, *(image.point(lambda v: v // 12) for image in sharp), *(blurred(image, 0.04) for image in sharp)]
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i:02d}.png")
    lab = imagelab(data_path=str(tmp_path))
    lab.find_issues({"dark": {}, "blurry": {}}, n_jobs=1, verbose=False)
    theirs, ours = lab.issues.sort_index(), kinds(images)
    assert theirs["is_dark_issue"].tolist() == ours["too dark"]
    sharp_or_blurred = [*range(6), *range(12, 18)]
    blurry, found = theirs["is_blurry_issue"].to_numpy()[sharp_or_blurred], np.array(ours["blurred"])[sharp_or_blurred]
    assert blurry[6:].any()
    assert (found | ~blurry).all()  # all that it finds, and those it misses
    assert found.tolist() == [False] * 6 + [True] * 6
