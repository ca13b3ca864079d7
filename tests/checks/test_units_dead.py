from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.checks.units.dead import _layer_units, dead
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.units.index_units import LayerIndex
from deeptroubles.recording import record
from tests.networks import formula


def images(count: int = 80) -> ImageSet:
    random = np.random.default_rng(0)
    return ImageSet.from_arrays(random.integers(0, 256, (count, 12, 14, 3), dtype=np.uint8))


def network(silent: int = 0, copies: int = 0, units: int = 20) -> Classifier:
    """Two convolutions of `units` units; the second has silent ones, and copies (one scaled) of its last unit."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(3, units, 3),
            nn.ReLU(),
            nn.Conv2d(units, units, 3),
            nn.BatchNorm2d(units),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(units, 3),
        )
    with torch.no_grad():
        module[3].bias[:] = 0.3
        module[3].bias[:silent] = -50
        for i in range(silent, silent + copies):
            module[2].weight[i] = module[2].weight[-1] * 2
            module[2].bias[i] = module[2].bias[-1] * 2
            module[3].bias[i] = 0.6
    return Classifier(module, size=(12, 14))


def planted():
    """Half of the units have a bias that nothing can overcome."""
    return network(silent=10), images()


def clean():
    return network(), images()


def test_dead_and_repeated_units_are_counted():
    engine = LocalEngine()
    result = dead(record(network(silent=7, copies=2), images(), engine), engine, seed=0)
    first, second = result.layers
    assert (first.layer, first.units, first.dead, first.duplicates) == ("1", 20, 0, 0)
    assert (second.layer, second.units, second.dead, second.duplicates) == ("4", 20, 7, 2)
    assert np.isclose(result.bound, 3 / 80, rtol=0.03)  # the rule of three


def blinking(active_on: list[int], count: int = 80) -> tuple[Classifier, ImageSet]:
    """Unit u is active on the first active_on[u] images only: those that are bright enough."""
    brightness = np.arange(count, 0, -1, dtype=np.uint8)
    pictures = ImageSet.from_arrays(np.broadcast_to(brightness[:, None, None], (count, 4, 4)).copy())
    convolution = nn.Conv2d(1, len(active_on), 1)
    with torch.no_grad():
        convolution.weight.fill_(1)
        convolution.bias.copy_(torch.tensor([-(count - n + 0.5) / 255 for n in active_on]))
    return Classifier(nn.Sequential(convolution, nn.ReLU(), nn.Flatten()), size=4, channels=1), pictures


def test_the_lower_end_leaves_out_units_that_may_wake():
    classifier, pictures = blinking([0, 0, 0, 0, 1, 1, 1, 80, 80, 80])
    engine = LocalEngine()
    (layer,) = dead(record(classifier, pictures, engine), engine, seed=0).layers
    assert (layer.dead, layer.once) == (4, 3)
    assert layer.share == (0.4, 0.1, 0.4)


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        ((network(silent=3), images()), Verdict.WARN),  # 15 %
        ((network(copies=2), images()), Verdict.WARN),
        ((network(silent=10), images(40)), Verdict.INCONCLUSIVE),
        ((network(), images(40)), Verdict.PASS),
        ((network(), images(5)), Verdict.INCONCLUSIVE),
        ((formula(lambda x: nn.functional.silu(x.mean((2, 3)).repeat(1, 3)), 12), images()), Verdict.SKIPPED),
    ],
)
def test_verdicts(case, verdict):
    (finding,) = audit(*case, checks=["units.dead"]).findings
    assert finding.verdict == verdict, finding.claim


def test_a_warning_about_duplicates_says_how_many_and_not_that_none_are_dead():
    (finding,) = audit(network(copies=2), images(), checks=["units.dead"]).findings
    assert finding.verdict == Verdict.WARN
    assert (
        finding.claim
        == "In layer 4, 10% (95% CI 10% to 10%) of 20 units duplicate another unit of the layer on 80 images."
    )
    estimate = finding.evidence[0]
    assert (estimate.label, estimate.value, estimate.warn_at) == ("Duplicate units of 4", 0.1, 0.05)


@pytest.mark.parametrize(("count", "proven"), [(40, 0), (400, 1)])
def test_a_correlation_that_few_images_leave_open_is_no_proof_of_a_duplicate(count, proven):
    basis, _ = np.linalg.qr(np.c_[np.ones(count), np.random.default_rng(0).random((count, 2))])
    values = basis[:, 1:] @ np.array([[1, 0.994], [0, (1 - 0.994**2) ** 0.5]])  # a correlation of 0.994
    index = LayerIndex(
        **dict.fromkeys(LayerIndex.__dataclass_fields__)
        | {"layer": "a", "count": count, "active": np.ones(2), "values": values}
    )
    found = _layer_units(index)
    assert (found.duplicates, found.proven) == (1, proven)


def test_no_more_than_a_sample_of_the_images_is_looked_at():
    engine = LocalEngine()
    recording = record(network(silent=2), images(300), engine)
    results = [dead(recording, engine, seed=seed) for seed in (0, 0, 1)]
    assert results[0].images == 256
    assert results[0] == results[1]
    assert all(result.layers[1].dead == 2 for result in results)
