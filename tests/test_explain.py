"""What explaining a picture says where there is nothing to draw."""

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import Classifier, ImageSet
from deeptroubles.errors import ModelError
from deeptroubles.workflows.explain import compare_methods, explain_pictures
from tests.checks.test_reliance_map_sanity import Rounding
from tests.networks import formula

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)


def test_a_zero_gradient_is_refused_with_advice_and_other_methods_go_on():
    classifier = Classifier(Rounding(), size=20)
    picture = Image.fromarray(PIXELS[0])
    with pytest.raises(ModelError, match=r"is zero.* occlusion or rise"):
        explain_pictures(classifier, picture, ["saliency"])
    found = explain_pictures(classifier, picture, ["saliency", "grad_cam", "occlusion"])
    assert list(found.maps) == ["grad_cam", "occlusion"]
    assert list(found.impossible) == ["saliency"]


def test_a_constant_map_is_no_map():
    """The mean of the pixels: its gradient is the same everywhere."""
    classifier = formula(lambda x: torch.stack([x.mean((1, 2, 3)), -x.mean((1, 2, 3))], 1), size=20)
    picture = Image.fromarray(PIXELS[0])
    with pytest.raises(ModelError, match=r"saliency is 0\.0025 everywhere"):
        explain_pictures(classifier, picture, ["saliency"])
    compared = {
        each.method: each
        for each in compare_methods(classifier, ImageSet.from_arrays(PIXELS), ["saliency", "occlusion"])
    }
    assert compared["saliency"].impossible
    assert compared["occlusion"].insertion is not None
