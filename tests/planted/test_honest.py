"""An honest network: nothing was planted, so that an audit must not accuse it of anything."""

from __future__ import annotations

from torch import nn

from deeptroubles import Classifier, ImageSet, Verdict, audit
from deeptroubles.planted.networks import trained
from deeptroubles.planted.planting import draw, image_set

SLOW = (
    "reliance.occlusion_gain",
    "reliance.texture",
    "reliance.clusters",
    "adversarial.one_pixel",
    "adversarial.fooling",
    "adversarial.patch",
    "units.visualization_trust",
)
"""Checks that would take most of the time here, and have honest cases of their own."""


def small(classes: int) -> nn.Module:
    """Three convolutions at half the size of the images, and global max pooling."""
    layers: list[nn.Module] = [nn.AvgPool2d(2)]
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU()), nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:-1], nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(64, classes))


def honest() -> tuple[Classifier, ImageSet]:
    """A small network without a shortcut, and 300 scenes of 64 pixels."""
    shown, audited = (draw(count, None, 0.0, seed, 64) for count, seed in ((2000, 0), (300, 200)))
    network = trained(small, shown.images, shown.classes, 0)
    classifier = Classifier(network, size=64, mean=[0.5] * 3, std=[0.5] * 3, class_names=audited.names)
    return classifier, image_set(audited)


def test_an_honest_small_network_fails_nothing():
    classifier, images = honest()
    findings = audit(classifier, images, skip=SLOW).findings
    assert [f.claim for f in findings if f.verdict in {Verdict.FAIL, Verdict.ERROR} and not f.common] == []
    assert {f.check.partition(".")[0] for f in findings if f.common} == {"adversarial"}
    assert next(f for f in findings if f.check == "performance.accuracy").verdict == Verdict.PASS
