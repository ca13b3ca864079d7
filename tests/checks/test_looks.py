from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, Verdict, audit
from deeptroubles.checks.limits import Limits
from deeptroubles.checks.looks import FIRST, Why, look
from deeptroubles.commands.budget import read_budget
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UsageError
from deeptroubles.recording import Budget, record
from deeptroubles.statistics.intervals import Interval, mean_share
from tests.networks import formula

LIMITS = Limits("the share", 0.05, 0.15)
NAMES = ("dark", "bright")


def classifier():
    return formula(lambda x: torch.stack([0.5 - x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.5], 1), 8, 1, NAMES)


def recording_of(count):
    shades = (np.arange(count) * 37 % 256).astype(np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    return record(
        classifier(), ImageSet.from_arrays(shades, [NAMES[int(s > 127)] for s in shades[:, 0, 0]]), LocalEngine()
    )


def every_nth(subject, indices, batch_size, n):
    """Every n-th image counts; 0: none does."""
    rows = np.array(indices)
    return {"row": rows, "counts": rows % n == 0 if n else rows < 0}


def looked(recording, n, budget=None, seed=0):
    recording = replace(recording, budget=budget)
    return look(
        recording,
        LocalEngine(),
        every_nth,
        np.arange(len(recording.logits)),
        judge=lambda looks: looks.mean_share(looks.found["counts"]),
        limits=LIMITS,
        views=10,
        task="Counting",
        seed=seed,
        n=n,
    )


@pytest.fixture(scope="module")
def many():
    return recording_of(3_000)


def test_few_images_are_all_looked_at_and_the_interval_is_the_ordinary_one():
    looks = looked(recording_of(FIRST), 2)
    assert looks.why is Why.ALL_SEEN
    assert looks.rows.tolist() == list(range(FIRST))
    assert looks.mean_share(looks.found["counts"]) == mean_share(looks.found["counts"])
    assert looks.caveats == []


@pytest.mark.parametrize(("n", "verdict"), [(0, Verdict.PASS), (10, Verdict.WARN), (2, Verdict.FAIL)])
def test_looking_ends_when_the_verdict_is_decided(many, n, verdict):
    looks = looked(many, n)
    interval = looks.mean_share(looks.found["counts"])
    assert looks.why is Why.DECIDED
    assert LIMITS.is_settled(interval)
    everything = np.arange(3_000) % n == 0 if n else np.zeros(3_000)
    assert looks.verdict(LIMITS, interval) == verdict == LIMITS.verdict(mean_share(everything), 3_000)
    assert len(looks.rows) < 1_500
    assert f"{len(looks.rows):,} of 3,000 images were looked at" in looks.caveats[0]


def test_what_was_found_stands_in_the_order_of_rows_whatever_the_order_of_looking(many):
    looks = looked(many, 2)
    assert (np.diff(looks.rows) > 0).all()
    assert np.array_equal(looks.found["row"], looks.rows)
    assert sorted(looks.position.tolist()) == list(range(len(looks.rows)))
    assert np.array_equal(looks.rows, looked(many, 2).rows)
    assert not np.array_equal(looks.rows, looked(many, 2, seed=1).rows)


def test_near_a_threshold_all_images_are_looked_at():
    looks = looked(recording_of(300), 20)  # exactly the share at which it warns
    assert looks.why is Why.ALL_SEEN
    assert len(looks.rows) == 300


def test_a_budget_that_ends_a_check_is_inconclusive_and_says_what_more_would_cost(many):
    looks = looked(many, 20, Budget(looks=1_000, seconds=0.1))
    interval = looks.mean_share(looks.found["counts"])
    assert looks.why is Why.BUDGET
    assert len(looks.rows) == 100
    assert looks.verdict(LIMITS, interval) == Verdict.INCONCLUSIVE
    assert "all would take about 50 minutes (--budget)" in looks.caveats[0]


def test_a_budget_that_ends_a_check_leaves_what_is_proved(many):
    """A quarter is above the limit of a warning; whether it fails is open."""
    looks = looked(many, 4, Budget(looks=1_000, seconds=0.1))
    interval = looks.mean_share(looks.found["counts"])
    assert looks.why is Why.BUDGET
    assert interval.low > LIMITS.warn_at
    assert interval.low <= LIMITS.fail_at < interval.high
    assert looks.verdict(LIMITS, interval) == Verdict.WARN
    passing = Interval(0.06, 0.04, 0.1)
    assert LIMITS.verdict(passing, 100) == Verdict.PASS
    assert looks.verdict(LIMITS, passing) == Verdict.INCONCLUSIVE


def test_a_budget_never_ends_a_check_that_is_decided(many):
    assert looked(many, 2, Budget(looks=1, seconds=0.1)).why is Why.DECIDED


def test_is_settled_where_the_interval_lies_on_one_side_of_both_thresholds():
    settled = [Interval(0, 0, 0.05), Interval(0.1, 0.051, 0.15), Interval(0.4, 0.151, 0.6)]
    assert all(LIMITS.is_settled(i) for i in settled)
    assert not any(
        LIMITS.is_settled(i) for i in (Interval(0.05, 0.04, 0.06), Interval(0.15, 0.1, 0.2), Interval(0.1, 0, 0.2))
    )


def test_a_repeated_audit_looks_at_the_same_images(tmp_path):
    """The timing is kept in the run."""
    shades = np.random.default_rng(0).integers(0, 256, (400, 16, 16), dtype=np.uint8)
    network = formula(lambda x: torch.stack([x[:, 0, 7, 7], x[:, 0, 9, 9]], 1) * 5, 16, 1, NAMES)
    asked = {"checks": ["stability.translation", "stability.rotation"], "budget": 0.05}
    first, again = (audit(network, ImageSet.from_arrays(shades), tmp_path / "run", **asked) for _ in range(2))
    assert [f.claim for f in first.findings] == [f.claim for f in again.findings]
    assert any("were looked at" in caveat for f in first.findings for caveat in f.caveats)


def test_budgets_are_times():
    assert [read_budget(text) for text in ("90s", "10m", "1.5h", "2D", "none")] == [90, 600, 5400, 172_800, None]
    for text in ("", "10", "m", "0s", "-1m", "ten minutes"):
        with pytest.raises(UsageError, match="is not a time"):
            read_budget(text)
