"""TorchScript programs, traced and scripted, frozen and not, as made and as loaded from a file."""

import io

import numpy as np
import pandas as pd
import pytest
import torch
from tests.networks import Plain

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.attacks import pgd
from deeptroubles.attribution import grad_cam, integrated_gradients, occlusion, saliency
from deeptroubles.errors import ModelError

SIDE = 16
IMAGES = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
pytestmark = pytest.mark.filterwarnings("ignore:.*could not be traced", "ignore::DeprecationWarning")


def program(kind: str, *, loaded: bool) -> torch.jit.ScriptModule:
    module = Plain(seed=2).eval()
    made = torch.jit.trace(module, IMAGES) if "traced" in kind else torch.jit.script(module)
    made = torch.jit.freeze(made) if "frozen" in kind else made
    if loaded:
        file = io.BytesIO()
        torch.jit.save(made, file)
        file.seek(0)
        made = torch.jit.load(file)
    return made


@pytest.mark.parametrize("kind", ["traced", "scripted", "frozen traced", "frozen scripted"])
@pytest.mark.parametrize("loaded", [False, True])
def test_gradients_need_no_hooks(kind, loaded):
    classifier, plain = Classifier(program(kind, loaded=loaded), size=SIDE), Classifier(Plain(seed=2), size=SIDE)
    for method in (saliency, integrated_gradients, occlusion):
        torch.testing.assert_close(method(classifier, IMAGES, 1), method(plain, IMAGES, 1), rtol=1e-3, atol=1e-5)
    found, expected = (pgd(each, IMAGES, 1, epsilon=0.1, steps=5) for each in (classifier, plain))
    assert torch.equal(found.success, expected.success)


def test_what_needs_layers_says_so():
    classifier = Classifier(program("frozen scripted", loaded=True), size=SIDE)
    with pytest.raises(ModelError, match="TorchScript program"):
        grad_cam(classifier, IMAGES)
    with pytest.raises(ModelError, match="TorchScript program"):
        grad_cam(classifier, IMAGES, layer="4")


@pytest.mark.parametrize("kind", ["scripted", "frozen traced"])
def test_no_check_that_rests_on_layers_or_gradients_crashes(kind):
    random = np.random.default_rng(0)
    names = [f"class {i % 4}" for i in range(16)]
    images = ImageSet.from_arrays(random.integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8), names)
    images.table["place"] = pd.Series(["here", "there"] * 8)
    checks = ["units", "fairness.leakage", "reliance.clusters", "reliance.map_sanity", "adversarial.targeted"]
    found = audit(Classifier(program(kind, loaded=True), size=SIDE), images, checks=checks, group="place").findings
    assert {finding.check.partition(".")[0] for finding in found} == {c.partition(".")[0] for c in checks}
    for finding in found:
        assert finding.verdict != Verdict.ERROR, finding.claim
        assert finding.verdict != Verdict.SKIPPED or finding.claim.startswith("Skipped: "), finding.claim
