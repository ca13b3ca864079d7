from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from deeptroubles import ImageSet, audit, segment_objects
from deeptroubles.cli import app
from deeptroubles.errors import ModelError, UsageError
from tests.networks import formula


class Bright(nn.Module):
    """Finds what is brighter than gray; as one map, as maps of classes, or in a dictionary."""

    def __init__(self, form: str = "one map") -> None:
        super().__init__()
        self.form = form

    def forward(self, x):
        found = x.mean(1, keepdim=True)[:, :, ::4, ::4] - 0.5
        classes = torch.cat([-found, found, found - 1], 1)
        return {"one map": found, "classes": classes, "dictionary": {"out": classes}, "list": [found, x]}[self.form]


def squares(count: int = 4) -> ImageSet:
    """White squares of 24 x 32 pixels on black, in images of 64 x 96; the last image is black."""
    arrays = np.zeros((count, 64, 96), dtype=np.uint8)
    for i in range(count - 1):
        arrays[i, 8 : 8 + 24, 16 + 8 * (i % 4) : 48 + 8 * (i % 4)] = 255
    return ImageSet.from_arrays(arrays, ["a", "b"] * (count // 2))


@pytest.mark.parametrize("form", ["one map", "classes", "dictionary", "list"])
def test_masks_come_at_the_size_of_their_images(form):
    plain = squares()
    images = segment_objects(plain, Bright(form))
    for i in range(3):
        assert images.mask(i).size == (96, 64)
        wrong = np.asarray(images.mask(i)) != np.asarray(plain[i])
        assert wrong.mean() < 0.03  # the outline, at a quarter of 320 pixels
    assert images.mask(3) is None
    assert images.notes[-1] == "Object masks from a segmentation model in 3 of 4 images."


def test_the_masks_are_those_of_the_audit():
    classifier = formula(lambda x: torch.stack([x.mean((1, 2, 3)), 0.1 + 0 * x[:, 0, 0, 0]], 1), 32, 1, ["a", "b"])
    found = audit(classifier, segment_objects(squares(12), Bright()), checks=["reliance.background"])
    said = " ".join(found.findings[0].caveats)
    assert "Objects are defined by the given masks. 11 images of 12 have one" in said


class Flat(nn.Module):
    def forward(self, x):
        return x.mean((1, 2, 3))


def test_a_network_that_does_not_segment_is_refused():
    with pytest.raises(ModelError, match=r"returns \(4,\); it must take images"):
        segment_objects(squares(), Flat())
    with pytest.raises(UsageError, match="gives classifiers only; give FILE"):
        segment_objects(squares(), "efficientnet-lite0")


class Scripted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(1, keepdim=True) - 0.5


def test_the_command_takes_a_program_as_masks(tmp_path, monkeypatch):
    torch.jit.script(Scripted()).save(tmp_path / "bright.ts")
    photos = tmp_path / "photos"
    plain = squares(12)
    for i in range(12):
        (photos / plain.labels[i]).mkdir(parents=True, exist_ok=True)
        plain[i].save(photos / plain.labels[i] / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom deeptroubles import Classifier\n"
        "def net():\n"
        "    layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))\n"
        "    return Classifier(layers, size=16, class_names=['a', 'b'])\n"
    )
    asked = ["audit", "mine:net", "--images", "photos", "--masks", "bright.ts", "--out", "run"]
    answer = CliRunner().invoke(app, [*asked, "--checks", "reliance.background"])
    sys.modules.pop("mine", None)
    assert answer.exit_code == 0, answer.output
    assert "Object masks from a segmentation model in 11 of 12 images." in " ".join(answer.output.split())


def test_a_module_in_training_is_asked_in_eval_mode_and_stays_as_it_was():
    norm = nn.BatchNorm2d(3)
    module = nn.Sequential(norm, nn.Conv2d(3, 1, 1)).train()
    segment_objects(squares(), module)
    assert module.training
    assert norm.num_batches_tracked == 0
