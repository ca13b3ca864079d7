"""Images of any memory layout and number type give the same result; none at all are refused with a sentence."""

import pytest
import torch
from torch import nn

from deeptroubles import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.catalogue import ATTRIBUTION, METHODS
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.subject import logits_of
from tests.contract.test_methods import QUICK
from tests.methods.test_eight_bits import SETTINGS
from tests.networks import Plain

SIDE = 16
IMAGES = as_8_bit(torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))
SAME = {
    "channels last": lambda images: images.to(memory_format=torch.channels_last),
    "permuted": lambda images: images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "a slice": lambda images: torch.cat([images, images], 3)[..., :SIDE],
    "doubles": lambda images: images.double(),
}


class Viewing(nn.Module):
    """`view` needs pixels in the layout that it was written for."""

    def __init__(self):
        super().__init__()
        self.parts = Plain(seed=2)
        self.last = nn.Linear(3 * SIDE * SIDE, 4)

    def forward(self, x):
        return self.parts(x) + self.last(x.view(x.shape[0], -1))


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier(Viewing(), size=SIDE)


def result(name, classifier, images):
    if name in ATTRIBUTION:
        return METHODS[name].function(classifier, images, **QUICK.get(name, {}))
    return METHODS[name].function(classifier, images, torch.tensor([0, 1]), **SETTINGS[name]).images


@pytest.mark.parametrize("name", sorted((ATTRIBUTION.keys() - {"cam"}) | (SETTINGS.keys() - {"auto_attack"})))
def test_layout_and_number_type_change_nothing(name, classifier):
    expected = result(name, classifier, IMAGES)
    for what, change in SAME.items():
        torch.testing.assert_close(result(name, classifier, change(IMAGES)), expected, msg=what)
    assert result(name, classifier, IMAGES.half()).isfinite().all()
    with pytest.raises(UsageError, match="There are no images"):
        result(name, classifier, IMAGES[:0])


@pytest.mark.parametrize("name", sorted((ATTRIBUTION.keys() - {"cam"}) | (SETTINGS.keys() - {"auto_attack"})))
def test_images_of_inference_mode_give_the_same(name, classifier):
    """Autograd refuses to save tensors that were made in that mode, such as these images or the predicted classes."""
    expected = result(name, classifier, IMAGES)
    with torch.inference_mode():
        torch.testing.assert_close(result(name, classifier, IMAGES.clone()), expected)


@pytest.mark.parametrize("name", ["saliency", "grad_cam", "occlusion", "guided_backprop", "lrp", "pgd"])
def test_networks_of_doubles_and_halves(name):
    precise = Classifier(Plain(seed=2).double(), size=SIDE)
    assert logits_of(precise, IMAGES).dtype == torch.double
    expected = result(name, Classifier(Plain(seed=2), size=SIDE), IMAGES)
    torch.testing.assert_close(result(name, precise, IMAGES).float(), expected, rtol=1e-3, atol=1e-5)
    assert result(name, Classifier(Plain(seed=2), size=SIDE).half(), IMAGES).isfinite().all()
