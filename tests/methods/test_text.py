"""Texts for units, on a small CLIP model that is trained here, against plain computations and exhaustive searches."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from deeptroubles import Classifier, ImageSet
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UsageError
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.methods.units.maximize_text import maximize_text
from deeptroubles.methods.units.rank_texts import rank_texts
from deeptroubles.methods.units.shared.attributes import attribute_table, attributes_of
from deeptroubles.methods.units.shared.texts import unit_direction
from deeptroubles.models.clip import ClipText, ZeroShot
from deeptroubles.subject import Subject
from tests.small_clip import DIGITS, PROCESSOR, SIZE, WORDS, digits, trained_clip
from tests.torchvision_shim import declare_operators

pytest.importorskip("transformers", reason="transformers is an optional dependency")
declare_operators()
EVERY_WORD = [*DIGITS, *WORDS]
INSIDE = "vision_model.post_layernorm"


@pytest.fixture(scope="session")
def clip():
    return trained_clip()


@pytest.fixture(scope="session")
def tower(clip):
    return ClipText(*clip)


@pytest.fixture(scope="session")
def index(clip, tower):
    """Activations on the digits of a feature layer, the joint embedding and the logits; and tables of attributes."""
    module = ZeroShot(clip[0], tower.embed(DIGITS))
    soft = {"mean": PROCESSOR["image_mean"], "std": PROCESSOR["image_std"]}
    classifier = Classifier(module, size=SIZE, class_names=DIGITS, **soft)
    pixels, target = digits()
    arrays = (pixels.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
    subject = Subject(classifier, ImageSet.from_arrays(arrays, target.tolist()), target.numpy())
    layers = [INSIDE, tower.layer, "logits"]
    found = {name: layer.values for name, layer in index_units(subject, LocalEngine(), layers).layers.items()}
    attributes = attributes_of(subject, range(len(target)))
    return found, {name: attribute_table(values, attributes, subject.targets) for name, values in found.items()}


@pytest.fixture(scope="session")
def sevens(index, tower):
    """The direction of the logit that detects sevens best."""
    values, tables = index
    unit = tables["logits"].best_unit(7).unit
    return unit_direction(torch.from_numpy(values["logits"][:, unit]), torch.from_numpy(values[tower.layer]))


def plain_scores(clip, direction, texts):
    """One text at a time, by the methods of transformers alone."""
    model, tokenizer = clip
    scores = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            state = model.text_model(input_ids=ids).last_hidden_state[0, -1]
            embedding = model.text_projection.weight @ state
        scores.append(float(embedding @ direction / embedding.norm() / direction.norm()))
    return scores


# --- what a unit responds to


def test_the_seven_unit_is_called_seven(clip, tower, sevens):
    ranked = rank_texts(tower, sevens, EVERY_WORD)
    assert ranked[0].text == "seven"
    assert maximize_text(tower, sevens, max_tokens=1)[0] == ranked[0]
    best = maximize_text(tower, sevens, length_penalty=0.05)
    assert best[0].text == "seven"
    np.testing.assert_allclose([t.score for t in best], plain_scores(clip, sevens, [t.text for t in best]), atol=1e-5)


def test_units_inside_of_the_image_tower_are_called_by_what_they_detect(index, tower):
    """Those that detect a digit well; a unit that responds to several points between them."""
    values, tables = index
    good = [best for best in map(tables[INSIDE].best_unit, range(10)) if best.overall.value > 0.88]
    assert 7 in [best.attribute for best in good]
    for best in good:
        activations, embeddings = values[INSIDE][:, best.unit], values[tower.layer]
        direction = unit_direction(torch.from_numpy(activations), torch.from_numpy(embeddings))
        assert rank_texts(tower, direction, DIGITS)[0].text == DIGITS[best.attribute]


def test_logits_are_called_by_the_names_of_their_classes(index, tower):
    values, _ = index
    directions = unit_direction(torch.from_numpy(values["logits"]), torch.from_numpy(values[tower.layer]))
    called = [rank_texts(tower, direction, DIGITS)[0].text for direction in directions]
    assert sum(a == b for a, b in zip(called, DIGITS, strict=True)) >= 8


# --- the direction


def test_it_is_the_weighted_mean_minus_the_plain_mean():
    random = torch.Generator().manual_seed(0)
    activations, embeddings = torch.rand(30, 4, generator=random), torch.randn(30, 6, generator=random) * 5
    directions = unit_direction(activations, embeddings)
    unit = torch.stack([e / e.norm() for e in embeddings])
    for a, direction in zip(activations.T, directions, strict=True):
        expected = sum(w * e for w, e in zip(a, unit, strict=True)) / a.sum() - unit.mean(0)
        torch.testing.assert_close(direction, expected / expected.norm(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(unit_direction(activations[:, 2], embeddings), directions[2])
    torch.testing.assert_close(unit_direction(3 * activations - 7, 2 * embeddings), directions)


def test_a_unit_that_never_changes_points_nowhere():
    with pytest.raises(UsageError, match="same activation on all images"):
        unit_direction(torch.ones(5), torch.rand(5, 3))


# --- the search


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("longest", "candidates"), [(1, 8), (2, 8), (2, 128), (3, 128)])
def test_it_comes_close_to_the_best_of_all_texts(tower, seed, longest, candidates):
    """For directions that no word stands for. All 24 + 24^2 + 24^3 texts are scored."""
    direction = torch.randn(24, generator=torch.Generator().manual_seed(seed))
    texts = [" ".join(words) for length in range(1, longest + 1) for words in product(EVERY_WORD, repeat=length)]
    every = [found.score for found in rank_texts(tower, direction, texts)]
    best = maximize_text(tower, direction, max_tokens=longest, candidates=candidates)[0]
    assert best.score <= every[0] + 1e-6
    assert best.score > every[len(every) // 100] - 1e-6  # among the first in a hundred
    if longest < 3 and candidates > 8:
        assert best.score == pytest.approx(every[0], abs=1e-5)


def test_the_gradient_is_worth_something(tower, sevens):
    """With few candidates, those that it proposes are better than the first ones of the vocabulary."""
    best = maximize_text(tower, sevens, candidates=3, beam=1, max_tokens=2, steps=2)[0]
    assert best.score > max(found.score for found in rank_texts(tower, sevens, EVERY_WORD[:7]))


def test_texts_are_what_the_tokenizer_reads(tower, sevens):
    for found in maximize_text(tower, sevens, start=["a photo of one"], max_tokens=3):
        assert 1 <= len(tower.tokens(found.text)) <= 3
        assert tower.text(tower.tokens(found.text)) == found.text


def test_a_start_is_a_text_like_any_other(tower, sevens):
    found = maximize_text(tower, sevens, start=["the digit seven"], steps=0)
    assert [text.text for text in found] == ["the digit seven"]


def test_it_can_be_asked_under_no_grad_and_leaves_nothing_behind(clip, tower, sevens):
    model = clip[0]
    state = torch.get_rng_state()
    first = maximize_text(tower, sevens, max_tokens=2)
    with torch.inference_mode():
        second = maximize_text(tower, sevens, max_tokens=2)
    assert first == second
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module._forward_hooks for module in model.modules())
    model.zero_grad(set_to_none=True)
    maximize_text(tower, sevens, max_tokens=1)
    assert all(parameter.grad is None for parameter in model.parameters())


# --- the tower


def test_tokens_as_vectors_are_embedded_like_their_text(tower):
    for text in ("seven", "a photo of nine"):
        torch.testing.assert_close(
            tower.embed_vectors(tower.vectors[tower.tokens(text)][None]).detach(),
            tower.embed([text]),
            atol=1e-5,
            rtol=1e-5,
        )


def test_its_vocabulary_is_the_words(tower):
    assert [tower.text([token]) for token in tower.vocabulary.tolist()] == EVERY_WORD


def test_a_text_that_is_too_long_is_cut_off(tower):
    torch.testing.assert_close(tower.embed(["seven " * 50]), tower.embed(["seven " * 10]))


def test_embeddings_have_length_one_whatever_else_is_in_the_batch(tower):
    alone = torch.cat([tower.embed([text]) for text in ("cat", "a photo of a dog")])
    torch.testing.assert_close(tower.embed(["cat", "a photo of a dog"]), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, normalize(alone, dim=1))
