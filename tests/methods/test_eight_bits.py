"""What an attack claims holds for the image file: every result is saved, loaded and predicted again."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import Classifier
from deeptroubles.methods.catalogue import METHODS
from deeptroubles.methods.eight_bits import as_8_bit, to_bytes
from deeptroubles.subject import logits_of
from tests.networks import Plain

SIZE, COUNT = 12, 24
SETTINGS = {
    "apgd": {"epsilon": 0.015, "steps": 10},
    "apgd_t": {"epsilon": 0.015, "steps": 10},
    "auto_attack": {"epsilon": 0.015},
    "bim": {"epsilon": 0.02},
    "carlini_wagner": {"steps": 50, "search_steps": 4, "step_size": 0.05},
    "ddn": {"steps": 20},
    "deep_fool": {},
    "fab_t": {"epsilon": 0.05, "steps": 10},
    "fgsm": {"epsilon": 0.03},
    "fmn": {"steps": 30},
    "hop_skip_jump": {"steps": 2, "init_num_evals": 20},
    "mi_fgsm": {"epsilon": 0.02},
    "one_pixel": {"limit": 200},
    "one_pixel_evolution": {"generations": 3, "population": 20},
    "pgd": {"epsilon": 0.015, "steps": 10},
    "random_noise": {"epsilon": 0.3, "tries": 5},
    "spatial": {},
    "square": {"epsilon": 0.05, "steps": 60},
}
OTHER_RESULTS = {
    "duplication_gain",
    "fooling_ascent",
    "map_elites",
    "masked_attack",
    "occlusion_gain",
    "patch",
    "target_matrix",
}


def saved_and_loaded(classifier, image):
    file = io.BytesIO()
    Image.fromarray(to_bytes(image).permute(1, 2, 0).numpy()).save(file, "PNG")
    return classifier.prepare(Image.open(file))


@pytest.fixture(scope="module")
def subject():
    """A network near its boundaries, and images of all real numbers."""
    classifier = Classifier(Plain(seed=2), size=SIZE)
    images = torch.rand(COUNT, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        classifier.module[8].bias -= logits_of(classifier, images).mean(0)
    return classifier, images, logits_of(classifier, images).argmax(1)


def check(classifier, wanted, images, success):
    assert torch.equal(as_8_bit(images), images)
    loaded = torch.stack([saved_and_loaded(classifier, image) for image in images])
    assert torch.equal(loaded, images)
    assert torch.equal(wanted(logits_of(classifier, loaded).argmax(1)), success)


def test_every_attack_is_tested():
    attacks = {name for name, method in METHODS.items() if method.family == "attacks"}
    assert attacks == SETTINGS.keys() | OTHER_RESULTS


@pytest.mark.parametrize("name", SETTINGS)
def test_a_success_survives_its_file(name, subject):
    classifier, images, labels = subject
    result = METHODS[name].function(classifier, images, labels, **SETTINGS[name])
    assert result.success.any()
    check(classifier, lambda predicted: predicted != labels, result.images, result.success)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("name", ["pgd", "fgsm", "random_noise", "square"])
def test_in_every_norm_within_the_ball_around_the_rounded_image(name, norm, subject):
    if (name, norm) == ("square", "l1"):
        return  # it has no such norm
    classifier, images, labels = subject
    epsilon = {"l2": 0.5, "l1": 5.0}[norm]
    result = METHODS[name].function(classifier, images, labels, norm=norm, **SETTINGS[name] | {"epsilon": epsilon})
    check(classifier, lambda predicted: predicted != labels, result.images, result.success)
    moved = (result.images - as_8_bit(images)).flatten(1)
    assert (torch.linalg.vector_norm(moved, ord=int(norm[1]), dim=1) <= epsilon + 1e-4).all()


@pytest.mark.parametrize("name", ["pgd", "ddn", "square", "hop_skip_jump"])
def test_targeted_successes_survive_as_well(name, subject):
    classifier, images, labels = subject
    targets = (labels + 1) % 4
    settings = SETTINGS[name] | ({"epsilon": 0.1} if "epsilon" in SETTINGS[name] else {})
    result = METHODS[name].function(classifier, images, targets=targets, **settings)
    check(classifier, lambda predicted: predicted == targets, result.images, result.success)


def test_a_target_matrix_survives(subject):
    classifier, images, _ = subject
    result = METHODS["target_matrix"].function(classifier, images[:4], steps=10)
    columns = torch.arange(4).repeat(4)
    check(classifier, lambda predicted: predicted == columns, result.images.flatten(0, 1), result.success.flatten())


def test_a_perturbation_under_a_mask_survives(subject):
    classifier, images, labels = subject
    mask = torch.zeros(SIZE, SIZE)
    mask[2:9, 2:9] = 1
    result = METHODS["masked_attack"].function(classifier, images[:4], mask, labels[:4], steps=5, views=8)
    check(classifier, lambda predicted: predicted != labels[:4], result.images, result.success)


def test_rounding_gives_exactly_the_values_of_a_file():
    levels = torch.from_numpy(np.arange(256, dtype=np.float32) / 255)
    assert torch.equal(as_8_bit(levels), levels)
    assert torch.equal(as_8_bit(levels + 0.3 / 255)[:255], levels[:255])
