"""Error consistency: closed forms, a plain re-implementation, scikit-learn, and runs compared with runs and people."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from deeptroubles import compare_errors, error_consistency
from deeptroubles.errors import ImagesError, RunFolderError, UsageError

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30)


@settings(max_examples=30, deadline=None)
@given(ANSWERS)
def test_kappa_is_that_of_a_plain_loop_and_of_scikit_learn(answers):
    first, second = (np.array(column) for column in zip(*answers, strict=True))
    found = error_consistency(first, second)
    same = sum(a == b for a, b in answers) / len(answers)
    p, q = sum(a for a, _ in answers) / len(answers), sum(b for _, b in answers) / len(answers)
    chance = p * q + (1 - p) * (1 - q)
    assert (found.observed, found.expected) == pytest.approx((same, chance))
    if chance == 1:
        assert np.isnan(found.kappa.value)
        assert (found.kappa.low, found.kappa.high) == (-1, 1)
    else:
        assert found.kappa.value == pytest.approx((same - chance) / (1 - chance))
        assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second))
        assert found.kappa.low <= found.kappa.value + 1e-9
        assert found.kappa.high >= found.kappa.value - 1e-9


def test_the_same_errors_independent_errors_and_opposite_errors():
    right = np.arange(40) % 2 == 0
    other = np.arange(40) % 4 < 2
    assert error_consistency(right, right).kappa == (1, 1, 1)
    independent = error_consistency(right, other).kappa
    assert independent.value == pytest.approx(0)
    assert independent.low < -0.1 < 0.1 < independent.high
    assert error_consistency(right, ~right).kappa.value == -1


def test_accurate_observers_agree_by_chance_alone():
    """Both right on 90% of the images, independently: 82% agreement, but no consistency."""
    first, second = np.arange(100) % 10 > 0, np.arange(100) // 10 > 0
    found = error_consistency(first, second)
    assert found.observed == pytest.approx(0.82)
    assert found.expected == pytest.approx(0.82)
    assert found.kappa.value == pytest.approx(0)


def test_the_interval_covers_the_truth_in_about_95_of_100_samples():
    random, kappas = np.random.default_rng(0), []
    for _ in range(200):
        shared = random.random(200) < 0.5  # on half of the images the two are the same
        first = random.random(200) < 0.7
        second = np.where(shared, first, random.random(200) < 0.7)
        kappas.append(error_consistency(first, second).kappa)
    covered = np.mean([k.low <= 0.5 <= k.high for k in kappas])
    assert 0.90 <= covered <= 0.99


def test_what_cannot_be_compared_is_an_error():
    with pytest.raises(UsageError, match="one boolean per image"):
        error_consistency(np.ones(3), np.ones(4))
    with pytest.raises(UsageError, match="one boolean per image"):
        error_consistency(np.ones(0), np.ones(0))


def table(correct, names=None):
    return pd.DataFrame({"path": names or [f"{i}.png" for i in range(len(correct))], "correct": correct})


def test_runs_are_compared_with_people_image_by_image(tmp_path):
    (tmp_path / "tables").mkdir()
    run = table([True, False, True, False, None], ["a.png", "b.png", "c.png", "d.png", "e.png"])
    run.astype({"correct": "boolean"}).to_parquet(tmp_path / "tables" / "images.parquet")
    people = table([False, True, True, False, True], ["d.png", "a.png", "c.png", "b.png", "z.png"])
    found = compare_errors(tmp_path, people)
    assert found.images == 4
    assert found.kappa.value == 1
    assert compare_errors(tmp_path, tmp_path).kappa.value == 1


def test_tables_that_cannot_be_compared_say_why(tmp_path):
    with pytest.raises(RunFolderError, match=r"There is no .*images\.parquet; give the folder of a complete audit"):
        compare_errors(tmp_path, table([True]))
    with pytest.raises(UsageError, match="lacks correct"):
        compare_errors(pd.DataFrame({"path": ["a"]}), table([True]))
    with pytest.raises(UsageError, match="twice"):
        compare_errors(table([True, True], ["a", "a"]), table([True]))
    with pytest.raises(ImagesError, match="in common"):
        compare_errors(table([True], ["a"]), table([True], ["b"]))
