from __future__ import annotations

import numpy as np
import pytest
import torch

from deeptroubles import ImageSet, load_classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.reliance.cue_conflict import CATEGORIES, category_probabilities, find_trials
from deeptroubles.methods.reliance.suppression import KINDS, kinds_for, strengths, suppress
from deeptroubles.methods.transforms.bilateral_blur import SIMILAR, bilateral_blur
from deeptroubles.methods.transforms.non_local_means import PATCH, non_local_means
from deeptroubles.methods.transforms.rotate_patches import rotate_patches
from deeptroubles.methods.transforms.shared.color import LUMA, grayscale, shuffle_channels
from tests.networks import formula


def pixels(count=2, channels=3, size=(32, 32), seed=0):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def imagenet():
    return load_classifier("efficientnet-lite0", size=64)


def named(*paths):
    images = ImageSet.from_arrays(np.zeros((len(paths), 4, 4), dtype=np.uint8))
    images.table["path"] = list(paths)
    return images


def test_the_categories_have_the_published_number_of_classes(imagenet):
    trials = find_trials(imagenet, named("cat1-elephant3.png"))
    assert trials.names == tuple(sorted(CATEGORIES))
    counts = dict(zip(trials.names, map(len, trials.members), strict=True))
    assert counts == {
        "dog": 109,
        "bird": 49,
        "truck": 8,
        "bottle": 7,
        "cat": 6,
        "boat": 5,
        "bear": 4,
        "chair": 4,
        "car": 3,
        "clock": 3,
        "bicycle": 2,
        "elephant": 2,
        "keyboard": 2,
        "airplane": 1,
        "knife": 1,
        "oven": 1,
    }
    everything = [index for classes in trials.members for index in classes]
    assert len(set(everything)) == len(everything) == 207


@pytest.mark.parametrize(
    ("category", "words"),
    [
        ("cat", "cat"),
        ("elephant", "elephant"),
        ("clock", "clock"),
        ("bear", "bear"),
        ("knife", "cleaver"),
        ("airplane", "airliner"),
        ("oven", "rotisserie"),
    ],
)
def test_a_category_holds_what_it_says(category, words, imagenet):
    trials = find_trials(imagenet, named("cat1-elephant3.png"))
    members = trials.members[trials.names.index(category)]
    synonyms = {index: [a for a, i in imagenet.class_aliases.items() if i == index] for index in members}
    assert sum(any(words in name for name in names) for names in synonyms.values()) >= len(members) * 0.5


def test_probabilities_are_averaged_and_not_added():
    """Three classes of 0.2 are more than one of 0.3 together, and less each."""
    probabilities = np.array([[0.2, 0.2, 0.2, 0.3, 0.1]])
    found = category_probabilities(probabilities, [(0, 1, 2), (3,), (3, 4)])
    assert np.allclose(found, [[0.2, 0.3, 0.2]])
    assert np.array_equal(category_probabilities(probabilities, [(i,) for i in range(5)]), probabilities)


def test_names_are_read_from_files_or_folders_in_any_way_of_writing():
    names = ("Zebra", "t-shirt", "7")
    classifier = formula(lambda x: x.mean((2, 3)).expand(-1, 3) * torch.tensor([1.0, 2.0, 3.0]), 8, 1, names)
    images = named(
        "zebra1-t-shirt2.png", "t-shirt-zebra/001.png", "zebra-7/x-1.png", "zebra3-zebra4.png", "a/b-c.png", "plain.png"
    )
    trials = find_trials(classifier, images)
    assert trials.rows.tolist() == [0, 1, 2]
    assert trials.shape.tolist() == [0, 1, 0]
    assert trials.texture.tolist() == [1, 0, 2]
    assert (trials.agreeing, trials.unnamed) == (1, 2)


def test_patches_are_only_turned_and_every_one_of_them_is():
    x = pixels()
    rotated = rotate_patches(x, 4, seed=1)
    for i in range(4):
        for j in range(4):
            part = (slice(None), slice(None), slice(8 * i, 8 * i + 8), slice(8 * j, 8 * j + 8))
            for image, other in zip(x[part], rotated[part], strict=True):
                assert sum(torch.equal(torch.rot90(image, k, (-2, -1)), other) for k in (1, 2, 3)) == 1
    assert torch.equal(rotate_patches(x, 4, seed=1), rotated)
    assert not torch.equal(rotate_patches(x, 4, seed=2), rotated)


def test_patches_that_are_not_square_are_turned_upside_down_and_the_rest_stays():
    x = pixels(size=(9, 20))
    rotated = rotate_patches(x, 2, seed=0)
    assert torch.equal(rotated[:, :, :4, :10], x[:, :, :4, :10].flip(2, 3))
    assert torch.equal(rotated[:, :, 8], x[:, :, 8])
    with pytest.raises(UsageError, match="does not fit"):
        rotate_patches(x, 10, seed=0)


def slow_bilateral(image, radius):
    """The definition, pixel by pixel (C x H x W)."""
    padded = np.pad(image, ((0, 0), (radius, radius), (radius, radius)), mode="edge")
    result = np.zeros_like(image)
    offsets = range(-radius, radius + 1)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            total = 0.0
            for dy in offsets:
                for dx in offsets:
                    other = padded[:, y + radius + dy, x + radius + dx]
                    distance = ((other - image[:, y, x]) ** 2).sum() / SIMILAR**2 + (dy**2 + dx**2) / (radius / 2) ** 2
                    total += np.exp(-distance / 2)
                    result[:, y, x] += np.exp(-distance / 2) * other
            result[:, y, x] /= total
    return result


@pytest.mark.parametrize("channels", [1, 3])
def test_bilateral_blur_is_its_definition(channels):
    x = pixels(1, channels, (9, 11))
    expected = slow_bilateral(x[0].double().numpy(), 2)
    assert np.allclose(bilateral_blur(x, 2)[0].numpy(), expected, atol=1e-5)


def test_bilateral_blur_and_non_local_means_take_texture_and_leave_edges():
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    image = (0.2 + 0.6 * (x >= 16) + 0.08 * ((x + y) % 2 - 0.5))[None, None].float()
    for smooth in (bilateral_blur(image, 3), non_local_means(image, 0.2)):
        assert (smooth[..., 4:28, 4:12].std() < 0.3 * image[..., 4:28, 4:12].std()).all()
        assert (smooth[..., 17].mean() - smooth[..., 14].mean()) > 0.5


def test_a_plain_image_is_its_own_mean():
    x = torch.full((2, 3, PATCH, PATCH), 0.4)
    assert torch.allclose(bilateral_blur(x, 2), x, atol=1e-6)
    assert torch.allclose(non_local_means(x, 0.3), x, atol=1e-6)


def test_colors_go_and_channels_move():
    x = pixels()
    gray = grayscale(x)
    assert torch.allclose(gray[:, 0], sum(w * x[:, i] for i, w in enumerate(LUMA)))
    assert torch.equal(gray[:, 0], gray[:, 2])
    assert torch.allclose(grayscale(x, 0.25), 0.75 * x + 0.25 * gray)
    moved = shuffle_channels(x, seed=3)
    assert all(not torch.equal(moved[i, c], x[i, c]) for i in range(2) for c in range(3))
    assert torch.allclose(moved.sort(1).values, x.sort(1).values, atol=1e-6)
    assert torch.equal(shuffle_channels(x, 3, 0.0), x)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_size_and_range_and_follows_its_seed(kind):
    x = pixels()
    made = suppress(x, kind, 2, seed=5)
    assert made.shape == x.shape
    assert ((made >= 0) & (made <= 1)).all()
    assert torch.equal(made, suppress(x, kind, 2, seed=5))
    assert not torch.equal(made, x)


def test_strengths_follow_from_the_size():
    assert [strengths((side, side)) for side in (8, 14, 28, 56, 112, 224)] == [0, 1, 2, 3, 4, 4]
    assert len(kinds_for(1)) == 5
    assert len(kinds_for(3)) == 7
    assert torch.allclose(suppress(pixels(), "grayscale", 2, 0), grayscale(pixels()))  # the last of two
    with pytest.raises(UsageError, match="strength 9"):
        suppress(pixels(), "grayscale", 9, 0)
