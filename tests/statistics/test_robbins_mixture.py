"""Robbins' mixture against its integral, its sum and what makes it a martingale."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from deeptroubles.statistics.robbins_mixture import PRIOR_TRIALS, log_capital


def capital(successes, trials, share, population=None):
    arrays = (np.array([float(x)]) for x in (successes, trials, share))
    return float(np.exp(log_capital(*arrays, population))[0])


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 20), (3, 20), (10, 20), (20, 20)])
def test_is_the_mixture_integral(successes, trials, share):
    prior = stats.beta(PRIOR_TRIALS * share, PRIOR_TRIALS * (1 - share))

    def ratio(uniform):  # by the prior's quantiles: its density has poles at 0 and 1
        q = prior.ppf(uniform)
        return (q / share) ** successes * ((1 - q) / (1 - share)) ** (trials - successes)

    integral = quad(ratio, 0, 0.5, limit=400)[0] + quad(ratio, 0.5, 1, limit=400)[0]
    assert capital(successes, trials, share) == pytest.approx(integral, rel=1e-5)


@pytest.mark.parametrize("total", [1, 7, 20, 21])
@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 19), (1, 12), (1, 20)])
def test_without_replacement_is_the_prior_posterior_ratio(successes, trials, total):
    population, share = 40, total / 40
    possible = np.arange(population + 1)
    prior = stats.betabinom(population, PRIOR_TRIALS * share, PRIOR_TRIALS * (1 - share)).pmf(possible)
    likelihood = stats.hypergeom(population, possible, trials).pmf(successes)
    posterior = prior * likelihood / (prior * likelihood).sum()
    assert capital(successes, trials, share, population) == pytest.approx(prior[total] / posterior[total], rel=1e-8)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_mean_capital_is_one_under_the_supposed_share(share):
    outcomes = np.array(list(product([0.0, 1.0], repeat=10)))
    chance = np.prod(np.where(outcomes == 1, share, 1 - share), axis=1)
    for trials in (1, 4, 10):
        counts = outcomes[:, :trials].sum(1)
        capitals = np.exp(log_capital(counts, np.full_like(counts, trials), np.full_like(counts, share)))
        assert chance @ capitals == pytest.approx(1)


@pytest.mark.parametrize("ones", [1, 3])
def test_the_mean_capital_over_all_orders_is_one_while_all_outcomes_are_possible(ones):
    orders = np.array(list(permutations([1.0] * ones + [0.0] * (6 - ones))))
    means = []
    for trials in range(1, 7):
        counts = orders[:, :trials].sum(1)
        capitals = np.exp(log_capital(counts, np.full_like(counts, trials), np.full_like(counts, ones / 6), 6))
        means.append(capitals.mean())
    np.testing.assert_allclose(means[:ones], 1)
    assert (np.diff(means) < 1e-12).all()  # afterwards a part of the mixture is lost on impossible outcomes


@pytest.mark.parametrize("population", [None, 100])
def test_is_convex_in_the_share(population):
    for successes, trials in [(0, 30), (1, 30), (15, 30), (30, 30)]:
        lowest, highest = (successes / 100, 1 - (trials - successes) / 100) if population else (0, 1)
        shares = np.linspace(lowest, highest, 300)[1:-1]
        values = log_capital(np.full_like(shares, successes), np.full_like(shares, trials), shares, population)
        assert (np.diff(values, 2) > -1e-9).all()


def test_large_populations_are_as_with_replacement():
    assert capital(7, 50, 0.2, 10**8) == pytest.approx(capital(7, 50, 0.2), rel=1e-4)
