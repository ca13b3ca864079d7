"""Shares of classes, wrong labels, and defects of pictures: closed forms, peers, and the level of tests."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import stats
from skimage import data

from deeptroubles.methods.properties.defects import DEFECTS, PictureFacts, find_defects, picture_facts
from deeptroubles.statistics.class_shares import drift, effective_number, largest_to_smallest
from deeptroubles.statistics.label_errors import label_errors
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


# --- wrong labels


def noisy(count, temperature, share, seed, kinds=5):
    """Logits; labels of which a share is replaced; which ones. The best temperature is the given one."""
    random = np.random.default_rng(seed)
    logits = 3 * random.normal(size=(count, kinds))
    labels = (logits / temperature + random.gumbel(size=logits.shape)).argmax(1)
    wrong = np.flatnonzero(random.random(count) < share)
    labels[wrong] = (labels[wrong] + random.integers(1, kinds, len(wrong))) % kinds
    return logits, labels, wrong


def plain_log_likelihood(logits, labels, temperature, share):
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        p = np.exp(row / temperature) / np.exp(row / temperature).sum()
        total += np.log((1 - share) * p[label] + share * (1 - p[label]) / (len(row) - 1))
    return total


def test_share_and_temperature_of_wrong_labels_are_the_most_likely_ones():
    logits, labels, _ = noisy(150, 0.7, 0.1, 0)
    found = label_errors(logits, labels)
    best = plain_log_likelihood(logits, labels, found.temperature, found.share.value)
    for temperature in found.temperature * np.array([0.5, 0.9, 0.99, 1, 1.01, 1.1, 2]):
        for share in np.clip(found.share.value + np.array([-0.03, -0.002, 0, 0.002, 0.03]), 0, 0.8):
            assert plain_log_likelihood(logits, labels, temperature, share) <= best + 1e-3
    for end in (found.share.low, found.share.high):
        profile = max(plain_log_likelihood(logits, labels, t, end) for t in np.linspace(0.4, 1.2, 81))
        assert 2 * (best - profile) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.05)


def test_of_a_perfect_classifier_the_share_of_wrong_labels_is_a_binomial_one():
    truth = np.arange(200) % 4
    labels = np.where(np.arange(200) < 10, (truth + 1 + np.arange(200) % 3) % 4, truth)
    margins = np.where(labels == truth, np.random.default_rng(0).uniform(5, 50, 200), 200)
    found = label_errors(np.eye(4)[truth] * margins[:, None], labels)
    assert found.share.value == pytest.approx(0.05, abs=1e-4)
    for end in (found.share.low, found.share.high):
        ratio = 2 * (stats.binom.logpmf(10, 200, 0.05) - stats.binom.logpmf(10, 200, end))
        assert ratio == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.02)
    assert np.flatnonzero(found.suspicion > 0.5).tolist() == list(range(10))


def test_scale_and_offset_of_logits_make_no_difference_to_wrong_labels():
    logits, labels, _ = noisy(200, 1.0, 0.05, 1)
    one, other = label_errors(logits, labels), label_errors(40 * logits + np.arange(200)[:, None], labels)
    assert other.share == pytest.approx(one.share, abs=1e-4)
    assert other.temperature == pytest.approx(40 * one.temperature, rel=1e-3)
    assert other.suspicion == pytest.approx(one.suspicion, abs=1e-3)


def test_suspicion_does_not_depend_on_the_labels_of_the_same_fold():
    logits, labels, _ = noisy(100, 0.5, 0.1, 2)
    others = labels.copy()
    others[5::5] = (labels[5::5] + 1) % 5
    assert label_errors(logits, others).suspicion[0] == label_errors(logits, labels).suspicion[0]
    assert label_errors(logits, others).share != label_errors(logits, labels).share


@pytest.mark.parametrize(("temperature", "share"), [(0.4, 0.1), (1.0, 0.05), (4.0, 0.05)])
def test_the_interval_of_wrong_labels_holds_the_truth(temperature, share):
    """Of overconfident and underconfident classifiers alike; the truth is the share that was drawn."""
    runs, held = 20, 0
    for seed in range(runs):
        logits, labels, wrong = noisy(200, temperature, share, seed)
        interval = label_errors(logits, labels).share
        held += interval.low <= len(wrong) / 200 <= interval.high
    assert held >= stats.binom.ppf(0.001, runs, 0.95)


def test_right_labels_are_not_called_wrong():
    """Labels are drawn from the calibrated probabilities: all contradictions are mistakes of the classifier."""
    runs, accused, listed = 25, 0, 0
    for seed in range(runs):
        logits, labels, _ = noisy(200, 0.8, 0.0, 100 + seed)
        found = label_errors(3 * logits, labels)
        accused, listed = accused + (found.share.low > 0), listed + (found.suspicion > 0.5).sum()
        assert found.own_mistakes == pytest.approx((logits.argmax(1) != labels).mean(), abs=0.1)
    assert accused <= stats.binom.ppf(0.999, runs, 0.05)
    assert listed / (200 * runs) < 0.005


def test_own_mistakes_are_the_second_most_likely_class_and_wrong_labels_are_not():
    truth = np.arange(400) % 5
    random = np.random.default_rng(0)
    logits = 5 * np.eye(5)[truth] + random.standard_t(3, (400, 5))
    mistakes, sure = np.flatnonzero(logits.argmax(1) != truth), 50 * np.eye(5)[truth] + random.normal(size=(400, 5))
    assert label_errors(logits, truth).second_share(mistakes).low > 0.2
    share = label_errors(sure, (truth + random.integers(1, 5, 400)) % 5).second_share(np.arange(400))
    assert share.low < 0 < share.high
    assert label_errors(logits[:, :2], truth % 2).second_share(np.arange(9)) == (0, 0, 0)


@pytest.mark.parametrize("logits", [np.zeros((30, 3)), np.full((30, 3), 7.0), np.eye(3)[np.zeros(30, dtype=int)]])
def test_a_classifier_that_knows_nothing_accuses_nobody(logits):
    found = label_errors(logits, np.arange(30) % 3)
    assert found.share.low == 0
    assert found.own_mistakes > 0.5
    assert not (found.suspicion > 0.5).any()


def test_one_label_and_one_class_are_enough():
    assert label_errors(np.array([[2.0, 1.0]]), np.array([0])).share.low == 0
    assert label_errors(np.array([[2.0, 1.0]] * 20), np.zeros(20, dtype=int)).share.value == pytest.approx(0, abs=1e-3)


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
