"""What holds for every check: found by listing the folder, so that a new check is held to it at once."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import torch

from deeptroubles import Verdict, audit
from deeptroubles.checks.registry import all_checks
from deeptroubles.findings import findings_to_json

CHECKS = all_checks()


def case(name: str, which: str):
    module = importlib.import_module(f"tests.checks.test_{name.replace('.', '_')}")
    return getattr(module, which)()


def ask(name: str, which: str, seed: int = 0):
    """The findings of a case: a classifier, its images and, for some checks, options."""
    classifier, images, *options = case(name, which)
    return audit(classifier, images, checks=[name], seed=seed, **dict(*options)).findings


asked = cache(ask)
"""The same, asked once for all tests."""


def texts(finding) -> Iterator[str]:
    yield from (finding.claim, finding.criterion, *finding.caveats)


@pytest.mark.parametrize("name", CHECKS)
def test_it_stands_where_its_name_says(name):
    family, _, rest = name.partition(".")
    home = f"deeptroubles.checks.{family}.{rest}"
    assert CHECKS[name].function.__module__ in {home, f"{home}.{rest}"}
    assert CHECKS[name].function.__name__ == rest


@pytest.mark.parametrize("name", CHECKS)
def test_its_docstring_has_the_sections(name):
    guide = CHECKS[name].guide
    assert guide.question.endswith("?")
    assert all((guide.asks, guide.matters, guide.reading, guide.limits, guide.references))


@pytest.mark.parametrize("name", CHECKS)
def test_it_fails_the_planted_problem_and_passes_the_clean_twin(name):
    (planted,) = asked(name, "planted")
    (clean,) = asked(name, "clean")
    assert planted.verdict == Verdict.FAIL, planted.claim
    assert clean.verdict == Verdict.PASS, clean.claim


QUAINT = (
    "robust",
    "safe",
    "certainly",
    "cannot be told",
    "surer",
    "so many",
    "nothing can be said",
    "answered",
    " %",
    "look-alike",
    "not asked",
)
"""Words that findings do not use: promises, and what is not plain technical English."""


@pytest.mark.parametrize("name", CHECKS)
def test_its_words_are_honest_and_plain(name):
    (finding,) = asked(name, "planted")
    assert finding.check == name
    assert any(character.isdigit() for character in finding.claim)
    assert finding.evidence
    assert finding.caveats
    for text in texts(finding):
        for phrase in QUAINT:
            assert phrase not in text.lower(), f"{phrase!r} in: {text}"


@pytest.mark.parametrize("name", CHECKS)
def test_it_restores_what_it_touches_and_the_same_seed_gives_the_same_bytes(name):
    first = asked(name, "planted")
    classifier, images, *options = case(name, "planted")
    classifier.train()
    weights = {key: value.clone() for key, value in classifier.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    again = audit(classifier, images, checks=[name], **dict(*options)).findings
    assert findings_to_json(again) == findings_to_json(first)
    assert all(module.training for module in classifier.modules())
    assert all(p.requires_grad and p.grad is None for p in classifier.parameters())
    assert not any(module._forward_hooks for module in classifier.modules())
    assert all(torch.equal(weights[key], value) for key, value in classifier.state_dict().items())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()
