from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import Classifier
from deeptroubles.methods.reliance.donor_swap import Moves, choose_donors, donor_swap
from deeptroubles.methods.reliance.shortcut_effects import located, named, shortcut_effects
from deeptroubles.methods.transforms.shared.neutralize import NEUTRAL, neutralize
from deeptroubles.methods.transforms.shared.scenery import GRID, WINDOW_WIDTH, WINDOWS, Scenery, window
from deeptroubles.methods.transforms.swap import CHANNELS, swap
from deeptroubles.planted.cues import CUES
from deeptroubles.planted.planting import draw
from tests.networks import Plain

SIDE = GRID - WINDOW_WIDTH + 1


@pytest.fixture(scope="module")
def drawn():
    return draw(24, CUES["companion"], 0.5, seed=1)


@pytest.fixture(scope="module")
def classifier():
    return Classifier(Plain(classes=4), size=32)


def test_donors_are_of_the_right_classes_and_nobody_gives_to_itself():
    targets = np.array([0, 1, 2, 2, 1, 0, 2, 0])
    donors = choose_donors(targets, 2, seed=0)
    assert (targets[donors.same] == targets[:, None]).all()
    assert (donors.same != donors.recipients[:, None]).all()
    assert (targets[donors.others] != targets[:, None]).all()
    assert all(len(set(row)) == 2 for row in targets[donors.others])  # two different classes
    again = choose_donors(targets, 2, seed=0)
    assert np.array_equal(again.others, donors.others)
    assert not np.array_equal(
        choose_donors(np.tile(targets, 4), 2, 1).same, choose_donors(np.tile(targets, 4), 2, 2).same
    )


def test_moves_equal_a_slow_loop(drawn, classifier):
    scenery = Scenery(drawn.images, drawn.masks)
    donors = choose_donors(drawn.classes.numpy(), 2, seed=3)
    channels = ["background", "color", "window 0 5"]
    found = donor_swap(classifier, scenery, drawn.classes, donors, channels, batch_size=7)
    classifier.eval()
    for c, channel in enumerate(channels):
        for i in (0, 5, 17):
            own = int(drawn.classes[i])

            def shown(donor: int, *, i=i, channel=channel) -> torch.Tensor:
                with torch.no_grad():
                    return classifier(swap(scenery, channel, torch.tensor([i]), torch.tensor([donor]))).softmax(1)[0]

            same = (shown(donors.same[i, 0]) + shown(donors.same[i, 1])) / 2
            assert found.kept[i, c] == pytest.approx(float(same[own]), abs=1e-6)
            for r in range(2):
                other, donor = int(drawn.classes[donors.others[i, r]]), donors.others[i, r]
                assert found.into[i, r, c] == pytest.approx(float(shown(donor)[other]), abs=1e-6)
                assert found.into_same[i, r, c] == pytest.approx(float(same[other]), abs=1e-6)
                assert found.lost[i, r, c] == pytest.approx(float(shown(donor)[own]), abs=1e-6)


def test_effects_equal_a_slow_loop():
    random = np.random.default_rng(0)
    targets, donors = random.integers(0, 3, 30), random.integers(0, 3, (30, 2))
    moves = Moves(*(random.random(shape).astype(np.float32) for shape in ((30, 2, 4), (30, 2, 4), (30, 4), (30, 2, 4))))
    effects = shortcut_effects(moves, targets, donors)
    for k in range(3):
        for c in range(4):
            inserted = []
            for i in range(30):
                rises = [moves.into[i, r, c] - moves.into_same[i, r, c] for r in range(2) if donors[i, r] == k]
                inserted += [np.mean(rises)] if rises else []
            removed = [np.mean(moves.kept[i, c] - moves.lost[i, :, c]) for i in range(30) if targets[i] == k]
            assert effects.insertion[k, c] == pytest.approx(np.mean(inserted), abs=1e-6)
            assert effects.removal[k, c] == pytest.approx(np.mean(removed), abs=1e-6)
            variance = (np.var(inserted, ddof=1) / len(inserted) + np.var(removed, ddof=1) / len(removed)) / 4
            assert effects.variance[k, c] == pytest.approx(variance, abs=1e-6)
    one, many = effects.interval(0, 0), effects.interval(0, 0, comparisons=20)
    assert many.low < one.low < one.value < one.high < many.high


def test_intervals_of_all_comparisons_hold_at_once():
    """Where nothing moves the prediction, one of 12 intervals leaves 0 out in at most about 5 % of the cases."""
    random = np.random.default_rng(1)
    outside, runs = 0, 300
    for _ in range(runs):
        targets = np.arange(60) % 2
        parts = [
            random.normal(0.5, 0.1, shape).astype(np.float32) for shape in ((60, 1, 6), (60, 1, 6), (60, 6), (60, 1, 6))
        ]
        effects = shortcut_effects(Moves(*parts), targets, 1 - targets[:, None])
        ends = [effects.interval(k, c, 12) for k in range(2) for c in range(6)]
        outside += any(interval.low > 0 or interval.high < 0 for interval in ends)
    assert outside / runs < 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def covering(row: int, column: int) -> np.ndarray:
    """The effect of every window on a cue that is one step large: all or nothing."""
    return np.array(
        [
            [float(r <= row < r + WINDOW_WIDTH and c <= column < c + WINDOW_WIDTH) for c in range(SIDE)]
            for r in range(SIDE)
        ]
    )


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 4), (GRID - 1, 0), (GRID - 1, GRID - 1)])
def test_a_cue_is_located(row, column):
    top, left, bottom, right = located(covering(row, column))
    assert top <= row < bottom
    assert left <= column < right
    assert (bottom - top, right - left) == (1, 1)


def test_what_is_everywhere_has_no_place():
    assert located(np.ones((SIDE, SIDE))) is None


def effects_of(**larger) -> dict[str, float]:
    return {name: larger.get(name.replace(" ", "_"), 0.01) for name in CHANNELS if name != "object"}


def rises_of(**larger) -> dict[str, float]:
    names = ("background", "frame", "high frequencies", "color")
    return {name: larger.get(name.replace(" ", "_"), 0.01) for name in names}


@pytest.mark.parametrize(
    ("expected", "effects", "rises", "windows"),
    [
        ("position", {"position": 0.5, "background": 0.1}, {"background": 0.1}, np.zeros((SIDE, SIDE))),
        ("window", {"background": 0.5}, {"background": 0.5, "high_frequencies": 0.45}, 0.4 * covering(7, 0)),
        ("frame", {"background": 0.5}, {"background": 0.5, "frame": 0.5}, np.full((SIDE, SIDE), 0.02)),
        # Single pixels everywhere: the frame holds some of them too, but the windows inside work as well.
        (
            "high frequencies",
            {"background": 0.5},
            {"background": 0.5, "frame": 0.45, "high_frequencies": 0.4},
            np.full((SIDE, SIDE), 0.45),
        ),
        (
            "background",
            {"background": 0.5},
            {"background": 0.5, "frame": 0.1, "color": 0.2},
            np.full((SIDE, SIDE), 0.1),
        ),
    ],
)
def test_the_most_specific_channel_that_explains_the_effect_is_named(expected, effects, rises, windows):
    assert named(effects_of(**effects), rises_of(**rises), windows) == expected


@pytest.mark.parametrize("channel", [*NEUTRAL, "window 5 0"])
def test_neutralizing_changes_its_channel_and_nothing_else(drawn, channel):
    scenery, rows = Scenery(drawn.images, drawn.masks), torch.arange(6)
    changed = neutralize(scenery, channel, rows)
    before = scenery.images[:6]
    assert changed.min() >= 0
    assert changed.max() <= 1
    different = ((changed - before).abs() > 1e-6).any(1)
    assert different.any()
    in_object = scenery.object[:6, 0] > 0
    if channel == "inner texture":
        assert not (different & ~scenery.inside[:6]).any()
        inside = scenery.inside[0]
        assert changed[0][:, inside].std(1).max() < 1e-6
    elif channel in {"background", "frame", "high frequencies", "window 5 0"}:
        assert not (different & in_object).any()
    if channel in WINDOWS:
        assert not (different & ~window((32, 32), *WINDOWS[channel])).any()


def test_neutral_colors_are_those_of_all_images(drawn):
    scenery = Scenery(drawn.images * 0.2 + 0.3, drawn.masks)  # so that no gain is cut off, and no pixel
    changed = Scenery(neutralize(scenery, "color", torch.arange(24)), drawn.masks)
    assert torch.allclose(changed.color, scenery.color.mean(0).expand_as(changed.color), atol=1e-6)
