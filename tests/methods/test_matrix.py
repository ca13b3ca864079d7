"""Every method on many architectures and on published networks; docs/sources.md lists what fails."""

from __future__ import annotations

import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import deeptroubles as dt
from deeptroubles import Classifier
from deeptroubles.errors import DeeptroublesError
from deeptroubles.methods.catalogue import ATTRIBUTION
from deeptroubles.network import open_network, unit_layers
from tests.photographs import crops
from tests.torchvision_shim import declare_operators

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
DATA = Path(__file__).parents[3] / "shared" / "data"
TIMM = [
    *(
        "resnet18",
        "seresnet18",
        "resnet26t",
        "botnet26t_256",
        "skresnet18",
        "res2net50_14w_8s",
        "regnety_002",
        "nfnet_l0",
    ),
    *(
        "efficientnet_lite0",
        "mobilenetv3_small_050",
        "ghostnet_100",
        "lcnet_050",
        "tinynet_e",
        "rexnet_100",
        "repvgg_a0",
    ),
    *("convnext_atto", "convnextv2_atto", "edgenext_xx_small", "fastvit_t8", "starnet_s1", "mambaout_femto"),
    *("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "mixer_s32_224", "resmlp_12_224", "poolformer_s12"),
    *("mobilevit_xxs", "pvt_v2_b0", "test_vit", "levit_128s"),
]
TORCHVISION = [
    *("alexnet", "vgg11_bn", "resnet18", "squeezenet1_1", "densenet121", "googlenet", "shufflenet_v2_x0_5"),
    *("mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0", "regnet_x_400mf", "swin_t", "vit_b_32"),
]
FIXED = {"levit_128s": 224, "vit_b_32": 64, "inception_v3": 96}
PUBLISHED = ["resnet20-12fca82f.th", "resnet56-4bfd9763.th"]
NETWORKS = [f"timm:{name}" for name in TIMM] + [f"torchvision:{name}" for name in TORCHVISION]
SIZE, CLASSES = 64, 10
QUICK = {"rise": {"masks": 4}, "smooth_grad": {"samples": 2}, "integrated_gradients": {"steps": 4}}
QUICK |= {"score_cam": {"channels": 4}, "ablation_cam": {"batch_size": 256}}


def built(source: str) -> Classifier:
    """A network with random weights, for small images."""
    library, _, name = source.partition(":")
    size = FIXED.get(name, SIZE)
    torch.manual_seed(0)
    declare_operators()
    if library == "timm":
        import timm

        network = _sized(timm.create_model, name, {"img_size": size}, pretrained=False)
    else:
        import torchvision

        network = _sized(torchvision.models.get_model, name, {"image_size": size}, weights=None)
    for weight in network.parameters():
        if weight.ndim > 1 and not weight.any():  # some networks begin with a last layer of zeros
            nn.init.normal_(weight, std=0.1)
    return Classifier(network.eval(), size=size, mean=[0.45], std=[0.25], name=name)


def _sized(create, name, size, **settings) -> nn.Module:
    try:
        return create(name, num_classes=CLASSES, **settings, **size)
    except TypeError:  # most networks take any size
        return create(name, num_classes=CLASSES, **settings)


def published(file: str) -> Classifier:
    """A published CIFAR-10 network."""
    references = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "references.py"))
    classifier: Classifier = references["cifar"](DATA, int(file.partition("-")[0].removeprefix("resnet")))[0]
    return classifier


def failures(classifier: Classifier) -> Iterator[tuple[str, str]]:
    """What fails, and what the message says."""
    images = crops(2, classifier.size[0])
    side = classifier.size[0] // 2
    settings = {**QUICK, "occlusion": {"window": side, "stride": side}}
    for name, method in ATTRIBUTION.items():
        try:
            maps = method.function(classifier, images, 1, **settings.get(name, {}))
            assert maps.ndim == 3
            assert torch.isfinite(maps).all()
        except DeeptroublesError as error:
            yield name, str(error)
    try:
        labels = classifier(images).argmax(1)
        attacked = dt.attacks.pgd(classifier, images, labels, steps=2).images
        assert attacked.shape == images.shape
    except DeeptroublesError as error:
        yield "pgd", str(error)
    try:
        network = open_network(classifier)
        layers = [layer.name for layer in unit_layers(network)]
        kept = network.record(images, layers).activations
        assert layers
        assert all(torch.isfinite(value).all() for value in kept.values())
    except DeeptroublesError as error:
        yield "units", str(error)


def listed() -> dict[str, dict[str, str]]:
    """What the page says that fails: by network, by method, a part of the message."""
    section = PAGE.read_text().partition("## What fails")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \| (.+) \| (`.+`) \|$", section, re.MULTILINE)
    found: dict[str, dict[str, str]] = {}
    for methods, reason, networks in rows:
        for network in re.findall(r"`(.+?)`", networks):
            found.setdefault(network, {}).update(dict.fromkeys(re.findall(r"`(.+?)`", methods), reason))
    return found


def compare(network: str, classifier: Classifier) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed = dict(failures(classifier))
    known = listed().get(network, {})
    assert failed.keys() == known.keys(), failed
    assert all(known[method] in failed[method] for method in failed), failed


def test_the_list_names_networks_that_are_tried():
    assert set(listed()) <= {*NETWORKS, *PUBLISHED}
    assert len(NETWORKS) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_method_on_an_architecture(network):
    declare_operators()
    pytest.importorskip(network.partition(":")[0])
    compare(network, built(network))


@pytest.mark.slow
@pytest.mark.parametrize("file", PUBLISHED)
@pytest.mark.skipif(not (DATA / "cifar10").is_dir(), reason="needs ../shared/data/cifar10")
def test_every_method_on_a_published_network(file):
    compare(file, published(file))
