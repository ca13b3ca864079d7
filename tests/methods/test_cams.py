"""Class activation maps against their algebra, against slow plain versions of their formulas, and against others."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from deeptroubles import Classifier, grad_cam, open_network
from deeptroubles.errors import ModelError, NeedsGraphError
from deeptroubles.methods.attribution.ablation_cam import ablation_cam
from deeptroubles.methods.attribution.cam import cam
from deeptroubles.methods.attribution.eigen_cam import eigen_cam
from deeptroubles.methods.attribution.grad_cam_plus_plus import grad_cam_plus_plus
from deeptroubles.methods.attribution.hires_cam import hires_cam
from deeptroubles.methods.attribution.layer_cam import layer_cam
from deeptroubles.methods.attribution.score_cam import score_cam
from deeptroubles.methods.attribution.xgrad_cam import xgrad_cam
from tests.networks import Plain, Shared, Untraceable
from tests.torchvision_shim import declare_operators

SIZE = (20, 24)
NORMALISED = {"size": SIZE, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.2]}
POSITIONS = 5 * 6


class Flattened(nn.Sequential):
    """One linear layer (or more) on flattened activations: gradients differ from position to position."""

    def __init__(self, *head: nn.Module) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            super().__init__(
                nn.Conv2d(3, 6, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(6, 5, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                *(head or [nn.Linear(5 * POSITIONS, 4)]),
            )


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def pooled():
    return Classifier(Plain(), **NORMALISED).eval()


@pytest.fixture(scope="module")
def flattened():
    return Classifier(Flattened(), **NORMALISED).eval()


@pytest.fixture(scope="module")
def deep():
    """Two linear layers after flattened activations."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        head = [nn.Linear(5 * POSITIONS, 12), nn.ReLU(), nn.Linear(12, 4)]
    return Classifier(Flattened(*head), **NORMALISED).eval()


def parts(classifier, images, layer):
    """Activations of a layer of a sequential module, and the gradient of the logit of class 1, by plain autograd."""
    stages = list(classifier.module)
    x = (images - classifier.mean) / classifier.std
    activations = nn.Sequential(*stages[: layer + 1])(x).detach().requires_grad_()
    logits = nn.Sequential(*stages[layer + 1 :])(activations.clone())
    return activations, logits


# --- CAM


@pytest.mark.parametrize("target", [0, 3])
def test_the_mean_of_a_class_activation_map_is_the_logit_without_its_bias(pooled, images, target):
    with torch.no_grad():
        logits = pooled(images)[:, target]
    sums = cam(pooled, images, target).mean((1, 2)) + pooled.module[8].bias[target].detach()
    torch.testing.assert_close(sums, logits, atol=1e-6, rtol=1e-5)


def test_it_is_the_channels_weighted_by_the_linear_layer(pooled, images):
    activations, _ = parts(pooled, images, 5)
    expected = torch.einsum("nchw,c->nhw", activations, pooled.module[8].weight[2]).detach()
    torch.testing.assert_close(cam(pooled, images, 2), expected, atol=1e-6, rtol=1e-5)


def test_grad_cam_times_the_number_of_positions_is_the_class_activation_map(pooled, images):
    torch.testing.assert_close(cam(pooled, images, 1), grad_cam(pooled, images, 1) * POSITIONS, atol=1e-6, rtol=1e-5)


def test_against_another_class_it_is_the_difference_of_two_maps(pooled, images):
    difference = cam(pooled, images, 1) - cam(pooled, images, 3)
    torch.testing.assert_close(cam(pooled, images, 1, against=3), difference, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)],
        [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 4)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(6), nn.Linear(6, 4)],
        [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)],
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4), nn.Tanh()],
        [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(6, 4)],  # leaves out the last row and the last three columns
    ],
)
def test_a_network_that_ends_in_another_way_has_no_class_activation_map(head, images):
    network = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), *head)
    with pytest.raises(ModelError, match=r"end in global average pooling .* use Grad-CAM or occlusion instead"):
        cam(Classifier(network, **NORMALISED), images)


@pytest.mark.parametrize(
    "head",
    [
        [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 4))],
        [nn.Sequential(nn.Sequential(nn.AdaptiveAvgPool2d(1)), nn.Flatten()), nn.Sequential(nn.Linear(6, 4))],
        [nn.AvgPool2d((9, 11)), nn.Flatten(), nn.Linear(6, 4)],
        [nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1), nn.Flatten()],
    ],
)
def test_there_are_several_ways_to_write_pooling_and_a_linear_layer(head, images):
    """The linear layer is also a block (MobileNet-v2, EfficientNet), or a convolution of one position (ResNet-v2)."""
    network = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), *head)
    classifier = Classifier(network, **NORMALISED).eval()
    maps = cam(classifier, images, 2)
    linear = next(m for m in reversed(list(network.modules())) if isinstance(m, nn.Linear | nn.Conv2d))
    activations = network[:2]((images - classifier.mean) / classifier.std)
    expected = torch.einsum("nchw,c->nhw", activations, linear.weight[2].flatten()).detach()
    torch.testing.assert_close(maps, expected, atol=1e-6, rtol=1e-5)
    logits = classifier(images)[:, 2] - linear.bias[2]
    torch.testing.assert_close(maps.mean((1, 2)), logits.detach(), atol=1e-6, rtol=1e-5)


def test_dropout_before_the_linear_layer_changes_nothing(images):
    network = Plain()
    with_dropout = nn.Sequential(*list(network)[:8], nn.Dropout(0.5), network[8])
    torch.testing.assert_close(*(cam(Classifier(each, **NORMALISED), images, 1) for each in (network, with_dropout)))


# --- HiResCAM, LayerCAM, XGrad-CAM


@pytest.mark.parametrize("target", [0, 3])
def test_with_one_linear_layer_on_flattened_activations_hires_cam_sums_to_the_logit(flattened, images, target):
    with torch.no_grad():
        logits = flattened(images)[:, target]
    sums = hires_cam(flattened, images, target).sum((1, 2)) + flattened.module[5].bias[target].detach()
    torch.testing.assert_close(sums, logits, atol=1e-6, rtol=1e-5)


def test_hires_cam_is_activation_times_gradient(deep, images):
    activations, logits = parts(deep, images, 1)
    (gradients,) = torch.autograd.grad(logits[:, 1].sum(), activations)
    torch.testing.assert_close(hires_cam(deep, images, 1, layer="1"), (activations * gradients).sum(1).detach())


def test_layer_cam_is_hires_cam_where_no_gradient_is_negative(images):
    network = Flattened()
    network[5].weight.data.abs_()
    classifier = Classifier(network, **NORMALISED)
    torch.testing.assert_close(layer_cam(classifier, images, 1), hires_cam(classifier, images, 1))


def test_layer_cam_and_the_negative_part_make_hires_cam(flattened, images):
    """In a linear head the gradient of minus a logit is minus the gradient: the parts are those of either sign."""
    whole = hires_cam(flattened, images, 1)
    positive = layer_cam(flattened, images, 1)
    flipped = Flattened()
    flipped[5].weight.data.neg_()
    negative = layer_cam(Classifier(flipped, **NORMALISED), images, 1)
    assert (positive >= 0).all()
    torch.testing.assert_close(positive - negative, whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("layer", ["1", "3"])
def test_the_sum_of_xgrad_cam_is_that_of_activation_times_gradient(deep, images, layer):
    sums = [each(deep, images, 2, layer=layer).sum((1, 2)) for each in (xgrad_cam, hires_cam)]
    torch.testing.assert_close(*sums, atol=1e-6, rtol=1e-4)


def test_xgrad_cam_leaves_out_channels_that_add_up_to_nothing(images):
    network = Flattened()
    network[2].weight.data[1] = 0
    network[2].bias.data[1] = 0
    assert torch.isfinite(xgrad_cam(Classifier(network, **NORMALISED), images, 1)).all()


@pytest.mark.parametrize("method", [hires_cam, layer_cam, xgrad_cam, grad_cam])
def test_on_average_pooling_and_one_linear_layer_gradient_maps_agree(pooled, images, method):
    """With the same gradient everywhere they are all the class activation map, LayerCAM of its positive part."""
    expected = cam(pooled, images, 1) / POSITIONS
    if method is layer_cam:
        activations, _ = parts(pooled, images, 5)
        weights = pooled.module[8].weight[1].relu()
        expected = torch.einsum("nchw,c->nhw", activations, weights).detach() / POSITIONS
    torch.testing.assert_close(method(pooled, images, 1), expected, atol=1e-6, rtol=1e-4)


# --- Grad-CAM++


def slow_grad_cam_plus_plus(classifier, image, layer, target):
    """The paper, equations 10, 15 and 19, with second and third derivatives of exp(score) taken one by one."""
    activations, _ = parts(classifier, image[None], layer)
    rest = nn.Sequential(*list(classifier.module)[layer + 1 :])
    flat = activations.detach().flatten().double()

    def score(x):
        return rest(x.reshape(activations.shape))[0, target].exp()

    result = torch.zeros(activations.shape[2:], dtype=torch.float64)
    first, second, third = (torch.zeros_like(flat) for _ in range(3))
    for i in range(len(flat)):
        x = flat.clone().requires_grad_()
        derivatives, y = [], score(x)
        for _ in range(3):
            (gradient,) = torch.autograd.grad(y, x, create_graph=True)
            y = gradient[i]
            derivatives.append(y.item())
        first[i], second[i], third[i] = derivatives
    shape = activations.shape[1:]
    first, second, third, values = (v.reshape(shape) for v in (first, second, third, flat))
    for k in range(shape[0]):
        weight = 0.0
        for i in range(shape[1]):
            for j in range(shape[2]):
                denominator = 2 * second[k, i, j] + values[k].sum() * third[k, i, j]
                alpha = second[k, i, j] / denominator if denominator != 0 else 0.0
                weight += alpha * max(first[k, i, j], 0)
        result += weight * values[k]
    return result / score(flat)  # the factor of the whole map that our version leaves out


class Tiny(nn.Sequential):
    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(9)
            super().__init__(
                nn.Conv2d(1, 3, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(3, 4, 2),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(4 * 2 * 3, 3),
            )


@pytest.mark.parametrize("layer", [1, 3])
def test_grad_cam_plus_plus_is_the_paper_s_formula_with_explicit_derivatives(layer):
    classifier = Classifier(Tiny(), size=(6, 8), channels=1).eval()
    images = torch.rand(2, 1, 6, 8, generator=torch.Generator().manual_seed(2))
    ours = grad_cam_plus_plus(classifier, images, 2, layer=str(layer))
    double = Classifier(Tiny(), size=(6, 8), channels=1).double().eval()
    expected = torch.stack([slow_grad_cam_plus_plus(double, image.double(), layer, 2) for image in images])
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(ours.double(), expected, atol=1e-6, rtol=1e-5)


def test_large_logits_do_not_overflow(images):
    network = Plain()
    network[8].bias.data += 500
    assert torch.isfinite(grad_cam_plus_plus(Classifier(network, **NORMALISED), images, 1)).all()


def test_torchcam_s_grad_cam_plus_plus_leaves_the_denominator_out(deep, images):
    """torchcam 0.5.0 divides a copy (`alpha[idx][mask].div_()`): its alpha is g^2 instead of the paper's formula."""
    methods = pytest.importorskip("torchcam.methods")
    classifier = Classifier(Flattened(*list(deep.module)[5:]), **NORMALISED).eval()
    image = images[:1]
    with methods.GradCAMpp(classifier, classifier.module[3]) as extractor:
        logits = classifier(image.clone().requires_grad_())
        theirs = extractor(1, logits, normalized=False)[0]
    activations, logits = parts(classifier, image, 3)
    (gradients,) = torch.autograd.grad(logits[:, 1].sum(), activations)
    without = ((gradients**2 * gradients.relu()).sum((2, 3), keepdim=True) * activations).sum(1).relu().detach()
    torch.testing.assert_close(theirs, without, atol=1e-7, rtol=1e-4)
    ours = grad_cam_plus_plus(classifier, image, 1, layer="3")
    ratio = (ours / theirs)[theirs > theirs.max() / 100]
    assert ratio.max() / ratio.min() > 1.01  # not the same map at another scale


# --- Eigen-CAM


def test_eigen_cam_is_the_best_approximation_of_the_activations_by_one_map(pooled, images):
    maps = eigen_cam(pooled, images)
    activations, _ = parts(pooled, images, 5)
    for values, one in zip(activations.detach().flatten(2), maps.flatten(1), strict=True):
        _, strength, right = torch.linalg.svd(values.T)
        torch.testing.assert_close(one.abs(), (values.T @ right[0]).abs(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.norm(), strength[0])


def test_its_sign_is_that_of_the_mean_activation(images):
    for layer in ("0", "1", "4", "5"):
        classifier = Classifier(Plain(), **NORMALISED)
        maps = eigen_cam(classifier, images, layer=layer)
        mean = parts(classifier.eval(), images, int(layer))[0].detach().mean(1)
        assert ((maps * mean).sum((1, 2)) > 0).all()
        if layer == "5":
            assert (maps >= -1e-6).all()


def test_it_knows_nothing_of_classes(pooled, images):
    assert torch.equal(eigen_cam(pooled, images, 0), eigen_cam(pooled, images, 3))


# --- Ablation-CAM


def test_on_a_linear_head_the_loss_is_the_channel_s_own_share(pooled, images):
    with torch.no_grad():
        logits = pooled(images)
    activations, _ = parts(pooled, images, 5)
    for target in range(4):
        shares = (pooled.module[8].weight[target, :, None, None] * activations).mean((2, 3))
        weights = shares / logits[:, target : target + 1].abs()
        expected = (weights[:, :, None, None] * activations).sum(1).detach()
        torch.testing.assert_close(ablation_cam(pooled, images, target), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize("layer", ["0", "3", "5"])
def test_it_equals_a_whole_forward_pass_per_channel(pooled, images, layer, batch_size):
    ours = ablation_cam(pooled, images, 1, layer=layer, batch_size=batch_size)
    activations, logits = parts(pooled, images, int(layer))
    expected = torch.zeros(3, *activations.shape[2:])
    rest = nn.Sequential(*list(pooled.module)[int(layer) + 1 :])
    with torch.no_grad():
        for k in range(activations.shape[1]):
            without = activations.clone()
            without[:, k] = 0
            drop = (logits[:, 1] - rest(without.clone())[:, 1]) / logits[:, 1].abs()
            expected += drop[:, None, None] * activations[:, k]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_what_skips_the_layer_is_kept(images):
    """`second` is added to `first`'s ReLU, which the rest of the network also uses: both must go on."""
    module = Shared().eval()
    classifier = Classifier(module, **NORMALISED)
    ours = ablation_cam(classifier, images, 0, layer="second")
    x = (images - classifier.mean) / classifier.std
    with torch.no_grad():
        first = functional.relu(module.first(x))
        second = module.second(first)

        def rest(values):
            y = functional.relu(values + first)
            y = torch.cat([functional.avg_pool2d(first, 2), functional.max_pool2d(y, 2)], 1)
            return module.head(functional.relu(module.mixed(y)).mean((2, 3)))[:, 0]

        expected = torch.zeros(3, *SIZE)
        for k in range(4):
            without = second.clone()
            without[:, k] = 0
            expected += ((rest(second) - rest(without)) / rest(second).abs())[:, None, None] * second[:, k]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_a_score_of_zero_or_below_does_not_turn_the_map_around(images):
    """The same evidence for a class, at three levels of its bias: the same map up to a positive factor."""
    maps = []
    for bias in (2.0, -20.0):
        network = Plain()
        network[8].bias.data.fill_(bias)
        maps.append(ablation_cam(Classifier(network, **NORMALISED), images, 1))
    assert functional.cosine_similarity(*(m.flatten(1) for m in maps)).min() > 0.999
    zero = Plain()
    zero[8].weight.data[1], zero[8].bias.data[1] = 0, 0
    assert (ablation_cam(Classifier(zero, **NORMALISED), images, 1) == 0).all()


@pytest.mark.parametrize("method", [ablation_cam, cam])
def test_what_needs_the_graph_says_so(method, images):
    classifier = Classifier(Untraceable(), **NORMALISED)
    with pytest.warns(UserWarning, match="could not be traced"), pytest.raises(NeedsGraphError, match="use Grad-CAM"):
        method(classifier, images, 1)


@pytest.mark.parametrize("method", [hires_cam, layer_cam, xgrad_cam, grad_cam_plus_plus, eigen_cam, score_cam])
def test_the_others_give_the_same_map_for_a_model_that_cannot_be_traced(method, images, pooled):
    with pytest.warns(UserWarning, match="could not be traced"):
        found = method(Classifier(Untraceable(), **NORMALISED), images, 1)
    torch.testing.assert_close(found, method(pooled, images, 1))


# --- Score-CAM


@pytest.mark.parametrize("against", [None, 3])
def test_score_cam_is_the_paper_s_algorithm_done_slowly(pooled, images, against):
    ours = score_cam(pooled, images, 1, against=against, batch_size=3)
    activations, _ = parts(pooled, images, 5)
    black = (pooled.mean * torch.ones(1, 3, *SIZE)).clone()

    def score(x):
        logits = pooled(x)[0]
        return logits[1] - (0 if against is None else logits[against])

    with torch.no_grad():
        for image, values, one in zip(images, activations, ours, strict=True):
            scores, kept = [], []
            for channel in values:
                mask = functional.interpolate(channel[None, None], size=SIZE, mode="bilinear", align_corners=False)[
                    0, 0
                ]
                if mask.max() > mask.min():
                    mask = (mask - mask.min()) / (mask.max() - mask.min())
                    normalized = (image - pooled.mean[0]) / pooled.std[0] * mask
                    masked = normalized * pooled.std[0] + pooled.mean[0]
                    scores.append(score(masked[None]) - score(black))
                    kept.append(channel)
            weights = torch.stack(scores).softmax(0)
            expected = sum(w * channel for w, channel in zip(weights, kept, strict=True))
            torch.testing.assert_close(one, expected, atol=1e-6, rtol=1e-4)


def test_fewer_channels_are_those_that_vary_most(pooled, images):
    activations, _ = parts(pooled, images, 5)
    most = activations.detach().flatten(2).var(2).argmax(1)
    one = score_cam(pooled, images, 1, channels=1)  # its weight is 1
    torch.testing.assert_close(one, activations.detach()[range(3), most])


def test_channels_without_contrast_make_no_mask(images):
    network = Plain()
    network[4].weight.data.zero_()
    assert (score_cam(Classifier(network, **NORMALISED), images, 1) == 0).all()


# --- what others compute


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (hires_cam, "HiResCAM"),
        (xgrad_cam, "XGradCAM"),
        (layer_cam, "LayerCAM"),
        (grad_cam_plus_plus, "GradCAMPlusPlus"),
    ],
)
@pytest.mark.parametrize("layer", [1, 3])
def test_it_equals_pytorch_grad_cam_before_the_last_relu_and_the_scaling(deep, images, method, name, layer):
    declare_operators()  # it imports torchvision
    library = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    # Gradients so large that the 1e-6 and 1e-7 that it adds to denominators are nothing beside them.
    network = copy.deepcopy(deep.module)
    network[-1].weight.data *= 1000
    classifier = Classifier(network, **NORMALISED).eval()
    with getattr(library, name)(classifier, [network[layer]]) as extractor:
        extractor(images, [targets.ClassifierOutputTarget(1)] * 3)
        kept = extractor.activations_and_grads
        theirs = extractor.get_cam_image(
            images, network[layer], [], kept.activations[0].numpy(), kept.gradients[0].numpy(), eigen_smooth=False
        )
    ours = method(classifier, images, 1, layer=str(layer))
    torch.testing.assert_close(ours, torch.as_tensor(theirs), atol=1e-4, rtol=1e-3)


class PaddedShortcut(nn.Module):
    """Two blocks whose shortcuts take every second pixel and add channels of zeros (He et al. 2016, option A)."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)]
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        x = self.convolutions[0](x).relu()
        for convolution in self.convolutions[1:]:
            added = x.shape[1] // 2
            shortcut = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, added, added))
            x = (convolution(x) + shortcut).relu()
        return self.head(x.mean((2, 3)))


def test_the_default_layer_is_the_last_one_behind_padded_shortcuts_too():
    classifier = Classifier(PaddedShortcut(), size=16)
    assert open_network(classifier).last_with_positions.shape == (16, 4, 4)
    assert grad_cam(classifier, torch.rand(1, 3, 16, 16)).shape == (1, 4, 4)
