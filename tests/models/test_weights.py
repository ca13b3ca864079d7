"""Weights in a file, with what builds the network for them: MODEL@FILE."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deeptroubles.classifier import evaluating
from deeptroubles.errors import ModelError, UsageError
from deeptroubles.models import is_module, load_classifier, load_module, load_skeleton, runs_code

MODULE = """
import torch
from torch import nn
from deeptroubles.classifier import Classifier


class Net(nn.Sequential):
    def __init__(self, classes=3):
        last = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), *last)


def build(): return Net()
def classifier(): return Classifier(Net(), size=16, mean=[0.5], class_names=["a", "b", "c"])
"""


@pytest.fixture
def trained(here):
    (here / "nets.py").write_text(MODULE)
    torch.manual_seed(3)
    network = load_module("nets:build")
    with torch.no_grad():
        network[1].running_mean += 0.3
    return network.eval()


def lightning(network):
    """What a Lightning module that holds the network, a loss with weights and an optimizer leaves."""
    weights = {f"model.{name}": value for name, value in network.state_dict().items()}
    return {
        "epoch": 2,
        "global_step": 40,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**weights, "loss.weight": torch.ones(3)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.3), "dirpath": "runs"}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 1e-3},
    }


SAVED = {
    "w.th": lambda network, path: torch.save({"state_dict": network.state_dict()}, path),
    "w.pth": lambda network, path: torch.save(network.state_dict(), path),
    "w.pt": lambda network, path: torch.save({"model": network.state_dict(), "epoch": 3}, path),
    "w.bin": lambda network, path: torch.save(torch.nn.DataParallel(network).state_dict(), path),
    "w.safetensors": lambda network, path: save_file(network.state_dict(), path),
    "last.ckpt": lambda network, path: torch.save(lightning(network), path),
}


@pytest.mark.parametrize("file", SAVED)
@pytest.mark.parametrize("function", ["build", "classifier"])
def test_a_function_and_its_weights(trained, file, function):
    SAVED[file](trained, Path(file))
    source = f"nets:{function}@{file}"
    classifier = load_classifier(source, size=16, mean=[0.5])
    assert (classifier.source, classifier.size) == (source, (16, 16))
    pixels = torch.rand(4, 3, 16, 16)
    with evaluating(classifier), torch.no_grad():
        torch.testing.assert_close(classifier(pixels), trained(pixels - 0.5))
    assert torch.equal(
        load_classifier(f"nets:{function}", size=16, mean=[0.5], weights=file)(pixels), classifier(pixels)
    )


def test_what_was_left_out_of_a_checkpoint_is_noted(trained):
    torch.save(lightning(trained), "last.ckpt")
    (note,) = load_classifier("nets:build@last.ckpt", size=16).notes
    assert note == "last.ckpt: the prefix 'model.' was taken off the names of its weights; 1 tensor was left out."


def test_a_network_that_is_no_classifier_takes_weights_too(trained):
    save_file(trained.state_dict(), "w.safetensors")
    assert is_module("nets:build@w.safetensors")
    assert torch.equal(load_module("nets:build@w.safetensors")[0].weight, trained[0].weight)


def test_a_source_with_a_file_runs_what_the_source_runs():
    assert runs_code("nets:build@w.safetensors")
    assert not runs_code("timm:resnet18@w.safetensors")


def test_the_skeleton_of_a_source_with_a_file_does_not_read_it(trained):
    assert load_skeleton("nets:build@nowhere.pt", size=16).classes == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("0.weight"), r"1 missing: 0\.weight\)"),
        (lambda w: w.update(extra=torch.zeros(1)), r"1 unexpected: extra\)"),
        (lambda w: w.update({"4.bias": torch.zeros(7)}), r"1 of another shape: 4\.bias: 7 instead of 3\)"),
        (lambda w: w.clear(), r"\d+ missing: .*, \.\.\."),
    ],
)
def test_weights_of_another_network_are_told_by_name(trained, change, message):
    weights = trained.state_dict()
    change(weights)
    torch.save(weights, "w.pth")
    with pytest.raises(ModelError, match=f"does not fit the model .*{message}"):
        load_classifier("nets:build@w.pth", size=16)


def test_counters_of_batches_may_be_missing(trained):
    save_file({k: v for k, v in trained.state_dict().items() if "batches" not in k}, "w.safetensors")
    assert torch.equal(load_classifier("nets:build@w.safetensors", size=16).module[4].weight, trained[4].weight)


def test_objects_among_the_weights_are_refused_unread(trained):
    torch.save({**lightning(trained), "hyper_parameters": {"net": trained}}, "last.ckpt")
    with pytest.raises(ModelError, match=r"holds more than weights.*\['state_dict'\], FILE\)"):
        load_classifier("nets:build@last.ckpt", size=16)


def test_weights_are_named_once(trained):
    with pytest.raises(UsageError, match="names its weights already"):
        load_classifier("nets:build@a.pt", weights="b.pt")


@pytest.mark.parametrize("file", ["w.safetensors", "folder/last.ckpt", "pytorch_model.bin"])
def test_weights_alone_say_what_builds_the_network(file):
    with pytest.raises(ModelError, match=rf"holds weights alone\. .*package\.module:function@{file}"):
        load_classifier(file)


def test_sources_with_their_own_weights_take_no_file():
    with pytest.raises(UsageError, match="brings its own weights"):
        load_classifier("hf:a/b@w.safetensors")


def test_a_skeleton_of_timm_with_a_lightning_checkpoint(tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    network = timm.create_model("test_resnet", num_classes=2).eval()
    torch.save(lightning(network), tmp_path / "last.ckpt")
    classifier = load_classifier(f"timm:test_resnet@{tmp_path / 'last.ckpt'}", class_names=["cat", "dog"])
    pixels = torch.rand(2, 3, *classifier.size)
    with torch.no_grad():
        torch.testing.assert_close(classifier(pixels), network((pixels - classifier.mean) / classifier.std))


@pytest.mark.parametrize("rest", ["", "@weights.th"])
def test_a_path_to_a_module_is_explained(rest):
    with pytest.raises(UsageError, match=r"Change to the folder /home/me/, .*: nets:build\."):
        load_classifier(f"/home/me/nets.py:build{rest}")
