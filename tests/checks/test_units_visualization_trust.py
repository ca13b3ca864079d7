from __future__ import annotations

import numpy as np
import pytest

from deeptroubles import Classifier, ImageSet, Verdict
from deeptroubles.checks.limits import MIN_IMAGES
from deeptroubles.checks.units.visualization_trust import (
    CHANCE,
    FAIL_BELOW,
    RESTARTS,
    VisualizationTrust,
    _some_classes,
    visualization_trust,
)
from deeptroubles.engine import LocalEngine
from deeptroubles.methods.units.shared.path_similarity import PathSimilarity
from deeptroubles.methods.units.shared.simulation import Simulation
from deeptroubles.methods.units.visualization_trust import MIN_NATURAL, Trust
from deeptroubles.recording import record
from deeptroubles.run.folder import RunFolder
from tests.fooling_circuit import clean_digits, fooling_digits, shown_digits
from tests.networks import Plain


def planted():
    return fooling_digits(), shown_digits()


def clean():
    return clean_digits(), shown_digits()


def ask(classifier, images, engine=None):
    engine = engine or LocalEngine()
    return visualization_trust(record(classifier, images, engine), engine, seed=0)


def verdict(path, accuracy, images=MIN_IMAGES, units=20):
    """The verdict where all classes have the same path similarity and accuracy, up to a little noise."""
    noise = 0.01 * np.random.default_rng(0).normal(size=(units, 1))
    similarity = PathSimilarity(("layer",), path + noise, np.ones((units, 1)), np.zeros((units, 1)))
    told = Simulation(np.full((units, 5), accuracy), np.ones((units, 5)), np.zeros((units, 5)))
    return VisualizationTrust(
        images=images,
        classes=("class",) * units,
        steps=1,
        converged=1.0,
        dead=0.0,
        trust=Trust(np.ones(units), {"network": told}, similarity, {}),
        grids=(),
    ).verdict


@pytest.mark.parametrize(
    ("path", "accuracy", "expected"),
    [
        (0.7, 1.0, Verdict.PASS),
        (0.7, 0.5, Verdict.INCONCLUSIVE),
        (0.7, 0.1, Verdict.FAIL),
        (0.4, 1.0, Verdict.WARN),
        (0.4, 0.5, Verdict.WARN),
        (0.1, 1.0, Verdict.FAIL),
        (np.nan, 1.0, Verdict.INCONCLUSIVE),
        (np.nan, 0.1, Verdict.FAIL),
    ],
)
def test_verdict(path, accuracy, expected):
    assert verdict(path, accuracy) == expected
    assert verdict(path, accuracy, images=MIN_IMAGES - 1) == Verdict.INCONCLUSIVE


def test_pictures_of_the_next_class_are_refused_too():
    result = ask(fooling_digits(decoy="next class"), shown_digits())
    assert result.verdict == Verdict.FAIL
    assert result.path.high < FAIL_BELOW
    assert result.simulation.value < CHANCE


def test_evidence_of_a_clean_network():
    result = ask(*clean())
    (finding,) = result.findings()
    assert result.path.low > FAIL_BELOW
    assert result.simulation.value > 0.95
    by_kind = {kind: [e for e in finding.evidence if e.kind == kind] for kind in ("table", "curve", "image_grid")}
    assert len(by_kind["table"][0].rows) == 10
    assert [len(s.x) for s in by_kind["curve"][0].series] == [3, 3, 3]
    for grid in by_kind["image_grid"]:
        notes = [item.note for item in grid.items]
        assert len(notes) - notes.count("natural") == RESTARTS
        assert notes.count("natural") >= 2


@pytest.mark.parametrize("count", [2, 8])
def test_few_images_decide_nothing(count):
    result = ask(fooling_digits(), shown_digits(count))
    assert count < MIN_IMAGES
    (finding,) = result.findings()
    assert finding.verdict == Verdict.INCONCLUSIVE
    assert finding.claim.endswith(f"and has {count}.") == (count < MIN_NATURAL)
    assert bool(finding.evidence) == (count >= MIN_NATURAL)


def test_an_untrained_network_gets_no_pass():
    random = np.random.default_rng(0)
    images = ImageSet.from_arrays(random.integers(0, 256, (30, 20, 24, 3), dtype=np.uint8))
    (finding,) = ask(Classifier(Plain(), size=(20, 24)), images).findings()
    assert finding.verdict != Verdict.PASS


def test_a_resumed_run_draws_nothing(tmp_path, monkeypatch):
    module = "deeptroubles.checks.units.visualization_trust.activation_maximization"
    engine = LocalEngine(RunFolder(tmp_path, {}))
    first = list(ask(*clean(), engine).findings())
    monkeypatch.setattr(module, lambda *_, **__: pytest.fail("drawn again"))
    assert list(ask(*clean(), engine).findings()) == first


def test_classes_with_images_come_first():
    predicted = np.repeat([5, 2, 9], [20, 1, 10])
    assert _some_classes(predicted, 2, seed=0) == [5, 9]
    chosen = {tuple(_some_classes(np.arange(10), 3, seed)) for seed in range(20)}
    assert len(chosen) > 5
