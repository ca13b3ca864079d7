from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from deeptroubles import Classifier, ImageSet, load_images
from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.methods.reliance.cue_conflict import find_trials
from deeptroubles.methods.transforms.amplitude_mix import amplitude_mix
from deeptroubles.methods.transforms.gatys import gatys, gram, layers_for
from deeptroubles.methods.transforms.silhouette import silhouette
from deeptroubles.network import open_network
from deeptroubles.workflows.stylize import stylize_images
from tests.networks import Plain
from tests.stylized_training import accuracies


def pixels(count=2, size=(20, 24), seed=0):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(20, 24), (21, 17)])
def test_an_image_mixed_with_itself_or_not_at_all_stays(size):
    x, other = pixels(size=size), pixels(size=size, seed=1)
    assert torch.allclose(amplitude_mix(x, x), x, atol=1e-5)
    assert torch.allclose(amplitude_mix(x, other, strength=0), x, atol=1e-5)


def test_the_mix_has_the_phase_of_the_one_and_the_amplitude_of_the_other():
    """With little contrast nothing leaves [0, 1]."""
    x, style = 0.5 + 0.1 * (pixels() - 0.5), 0.5 + 0.1 * (pixels(seed=1) - 0.5)
    mixed = torch.fft.rfft2(amplitude_mix(x, style).double())
    assert torch.allclose(mixed.abs(), torch.fft.rfft2(style.double()).abs(), atol=1e-3)
    turned = mixed * torch.fft.rfft2(x.double()).conj()
    inner = turned[..., 1:10, 1:10]  # rows and columns whose phase is free
    assert torch.allclose(inner.imag / inner.abs(), torch.zeros_like(inner.real), atol=2e-2)
    assert (inner.real > 0).all()


def test_a_silhouette_is_the_texture_inside_and_white_or_the_background_outside():
    mask, x, back = torch.zeros(2, 20, 24, dtype=torch.bool), pixels(), pixels(seed=1)
    mask[:, 5:9, 3:7] = True
    for made, outside in ((silhouette(mask, x), torch.ones_like(x)), (silhouette(mask, x, back), back)):
        assert torch.equal(made[:, :, 5:9, 3:7], x[:, :, 5:9, 3:7])
        assert torch.equal(made[:, :, 9:], outside[:, :, 9:])


def test_gram_by_hand():
    """Two units at two positions: (1, 2) and (3, 4)."""
    values = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    assert torch.equal(gram(values), torch.tensor([[[2.5, 5.5], [5.5, 12.5]]]))
    shuffled = pixels()[..., torch.randperm(24, generator=torch.Generator().manual_seed(0))]
    assert torch.allclose(gram(shuffled), gram(pixels()), atol=1e-5)  # it does not know where anything is


@pytest.fixture
def network():
    return Classifier(Plain(), size=(20, 24), mean=[0.5] * 3, std=[0.25] * 3, class_names=("a", "b", "c", "d"))


def test_style_transfer_comes_nearer_to_the_style_and_leaves_the_network_alone(network):
    content, style = pixels(), pixels(seed=1) ** 3
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = gatys(network, content, style, steps=40)
    assert made.losses.shape == (40, 2)
    assert (made.losses[-1] < 0.3 * made.losses[0]).all()
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
    assert ((made.images >= 0) & (made.images <= 1)).all()
    with torch.inference_mode():
        alone = gatys(network, content[:1].clone(), style[:1].clone(), steps=40)
    assert torch.allclose(alone.images, made.images[:1], atol=1e-3)


def test_what_is_its_own_style_hardly_changes(network):
    """The content is where the loss is 0, but for pixels that are nearly black or white."""
    content = 0.1 + 0.8 * pixels()
    made = gatys(network, content, content, steps=1)
    assert made.losses.max() < 1e-6


def test_no_steps_give_the_content_back(network):
    content = 0.1 + 0.8 * pixels()
    assert torch.allclose(gatys(network, content, pixels(seed=1), steps=0).images, content, atol=1e-5)


def test_layers_are_the_first_and_last_of_every_size(network):
    content, style = layers_for(open_network(network), network.size)
    assert content in style
    assert content == "1"  # the only normalization


def test_styles_of_another_size_are_told(network):
    with pytest.raises(UsageError, match="must both be"):
        gatys(network, pixels(), pixels(size=(10, 10)))


def labelled(count=6, seed=0):
    arrays = (pixels(count, (24, 30), seed).permute(0, 2, 3, 1) * 255).byte().numpy()
    masks = np.zeros((count, 24, 30), dtype=bool)
    masks[:, 4:20, 5:25] = True
    return ImageSet.from_arrays(arrays, ["a", "b"] * (count // 2), masks=masks)


@pytest.mark.parametrize("method", ["amplitude", "gatys", "silhouette", "surface"])
def test_a_stylized_set_is_a_training_set_and_a_conflict_of_cues(method, network, tmp_path):
    made = stylize_images(labelled(), labelled(seed=1), tmp_path, method, network=network, steps=2)
    assert len(made.files) == 6
    images = load_images(tmp_path)
    assert sorted(set(images.labels)) == ["a", "b"]
    trials = find_trials(network, images)
    assert len(trials.rows) == 6  # no image has a style of its own label
    assert [network.class_names[i] for i in trials.shape] == images.labels
    assert images[0].size == ((24, 20) if method == "gatys" else (30, 24))
    first = {path.relative_to(tmp_path): path.read_bytes() for path in made.files}
    again = stylize_images(labelled(), labelled(seed=1), tmp_path, method, network=network, steps=2)
    assert {path.relative_to(tmp_path): path.read_bytes() for path in again.files} == first


def test_the_surface_alone_is_exchanged(tmp_path):
    source = labelled()
    made = stylize_images(source, labelled(seed=1), tmp_path, "surface").files
    before, after = np.asarray(source[0]), np.asarray(Image.open(tmp_path / "a" / made[0].name))
    changed = (before != after).any(2)
    assert not changed[:4].any()
    assert changed[4:20, 5:25].mean() > 0.99


def test_images_that_cannot_be_made_are_counted_and_wrong_input_is_told(tmp_path, network):
    (tmp_path / "in").mkdir()
    Image.fromarray(np.asarray(labelled()[0])).save(tmp_path / "in" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    plain = load_images(tmp_path / "in")
    made = stylize_images(plain, labelled(), tmp_path / "out")
    assert (len(made.files), made.left_out) == (1, 1)
    assert made.files[0].parent == tmp_path / "out"
    for method, word in (("gatys", "needs a network"), ("silhouette", "needs masks"), ("surface", "needs masks")):
        with pytest.raises(UsageError, match=word):
            stylize_images(plain, labelled(), tmp_path / "out", method)
    with pytest.raises(ImagesError, match="styles of other labels"):
        stylize_images(labelled(), labelled().subset([0, 2]), tmp_path / "out")
    with pytest.raises(ImagesError, match="could be stylized"):
        stylize_images(plain.subset([list(plain.table["path"]).index("bad.png")]), labelled(), tmp_path / "out")


def test_training_on_stylized_images_helps_with_both():
    """As for ImageNet: trained on plain images, a network falls on stylized ones; the other way round it does not."""
    found = accuracies()
    assert found["plain"][0] > 0.9
    assert found["plain"][1] < 0.6
    assert min(found["stylized"]) > 0.9
