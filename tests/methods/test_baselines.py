"""Features equal scikit-image's and plain counts; images without keypoints, of one color, and groups in one fold."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import torch
from skimage import feature

from deeptroubles.methods.baselines.color_histogram import color_histogram
from deeptroubles.methods.baselines.fit_baseline import BASELINES, fit_baseline, out_of_fold
from deeptroubles.methods.baselines.hog import hog
from deeptroubles.methods.baselines.sift import SIDE, sift
from deeptroubles.methods.baselines.visual_words import fit_vocabulary, visual_words
from deeptroubles.methods.properties.near_duplicates import duplicate_groups
from tests.photographs import crops


def test_hog_is_that_of_scikit_image():
    images = crops(2, 64)
    peer = feature.hog(images[1].permute(1, 2, 0).numpy(), 9, (8, 8), (2, 2), block_norm="L2-Hys", channel_axis=-1)
    assert np.allclose(hog(images)[1], peer, atol=1e-6)


def test_sift_is_that_of_scikit_image():
    image = crops(1, SIDE)
    peer = feature.SIFT(upsampling=1)
    peer.detect_and_extract(image[0].double().numpy().transpose(1, 2, 0) @ [0.299, 0.587, 0.114])
    kept = np.unique(np.linspace(0, len(peer.descriptors) - 1, min(128, len(peer.descriptors))).astype(int))
    found = sift(image)[0]
    found = found[found.any(1)]
    assert len(found) == len(kept)
    assert np.abs(found.astype(int) - peer.descriptors[kept]).max() <= 1


def test_colors_are_counted():
    image = torch.zeros(1, 3, 2, 2)
    image[0, :, 0, 0] = torch.tensor([1.0, 0.3, 0.6])
    counts = color_histogram(image)[0]
    assert counts[0] == 0.75
    assert counts[16 * 3 + 4 * 1 + 2] == 0.25
    gray = color_histogram(torch.full((1, 1, 3, 3), 0.5))[0]
    assert gray[32] == 1


def test_small_images_have_keypoints_and_flat_ones_have_none():
    images = crops(12, 32)
    unscaled = 0
    for image in images.double().mean(1).numpy():
        peer = feature.SIFT(upsampling=1)
        with suppress(RuntimeError):  # no keypoint
            peer.detect_and_extract(image)
            unscaled += len(peer.keypoints)
    assert sift(images).any(2).sum() > 3 * unscaled
    assert not sift(torch.full((1, 3, 32, 32), 0.5)).any()


def test_words_are_the_nearest_centers():
    random = np.random.default_rng(0)
    descriptors = random.integers(1, 255, (4, 30, 128)).astype(np.uint8)
    descriptors[3] = 0
    vocabulary = fit_vocabulary(descriptors, words=7)
    counts = np.zeros((4, 7))
    for i in range(3):
        for each in descriptors[i]:
            counts[i, ((vocabulary - each) ** 2).sum(1).argmin()] += 1 / 30
    assert np.allclose(visual_words(descriptors, vocabulary) ** 2, counts, atol=1e-6)


def test_images_without_any_keypoint_are_classified():
    nothing = sift(torch.zeros(12, 1, 32, 32))
    assert set(fit_baseline("sift", nothing, np.arange(12) % 2).predict(nothing)) <= {0, 1}


@pytest.mark.parametrize("name", BASELINES)
def test_noise_is_guessed_out_of_fold_whatever_its_copies(name):
    """Labels are drawn and every image is there four times: only a fold that knows the copies would be right."""
    random = np.random.default_rng(1)
    images = crops(40, 32).repeat_interleave(4, 0)
    labels = random.permutation(40).repeat(4) % 2
    features = BASELINES[name].features(images)
    assert np.mean(fit_baseline(name, features, labels).predict(features) == labels) > 0.8
    guessed = out_of_fold(name, features, labels, np.arange(40).repeat(4))
    assert abs(np.mean(guessed == labels) - 0.5) < 0.27
    assert np.array_equal(guessed, out_of_fold(name, features, labels, np.arange(40).repeat(4)))


def test_copies_are_a_group():
    images = np.round(crops(30, 32).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    groups = duplicate_groups(
        np.concatenate([images, images[:5], np.clip(images[:8].astype(int) + 4, 0, 255).astype(np.uint8)])
    )
    assert np.array_equal(groups[30:35], groups[:5])
    assert np.array_equal(groups[35:], groups[:8])
    assert len(duplicate_groups(images[:0])) == 0
    assert len(set(duplicate_groups(np.zeros((3, 32, 32, 3), np.uint8)))) == 1
