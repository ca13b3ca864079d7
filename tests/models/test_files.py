"""Models in files: .pt2, TorchScript, and what is refused."""

import pickle
from pathlib import Path

import pytest
import torch

from deeptroubles.classifier import evaluating
from deeptroubles.errors import ModelError
from deeptroubles.models import load_classifier

BATCH = ({0: torch.export.Dim.DYNAMIC},)


def export(module, path, shape=(2, 3, 20, 24), dynamic=BATCH):
    torch.export.save(torch.export.export(module, (torch.zeros(shape),), dynamic_shapes=dynamic), path)
    return str(path)


def same_answers(classifier, module, pixels):
    with evaluating(module), evaluating(classifier), torch.no_grad():
        torch.testing.assert_close(classifier(pixels), module(pixels))


def test_an_exported_program(tiny, tmp_path):
    classifier = load_classifier(export(tiny.eval(), tmp_path / "mine.pt2"), class_names=["a", "b", "c"])
    assert (classifier.size, classifier.channels, classifier.name) == ((20, 24), 3, "mine")
    assert classifier.class_names == ("a", "b", "c")
    for batch in (1, 2, 5):
        same_answers(classifier, tiny, torch.rand(batch, 3, 20, 24))


def test_an_exported_program_of_any_size_needs_a_size(tiny, tmp_path):
    free = torch.export.Dim.DYNAMIC
    path = export(tiny.eval(), tmp_path / "free.pt2", dynamic=({0: free, 2: free, 3: free},))
    with pytest.raises(ModelError, match="--size"):
        load_classifier(path)
    assert load_classifier(path, size=18).size == (18, 18)


def test_an_exported_program_with_a_fixed_batch_says_how_to_export(tiny, tmp_path):
    path = export(tiny.eval(), tmp_path / "fixed.pt2", dynamic=None)
    with pytest.raises(ModelError, match=r"exactly 2 image\(s\) at a time\. Export .*Dim\.DYNAMIC"):
        load_classifier(path)


def test_an_exported_program_in_training_mode_is_refused(tiny, tmp_path):
    path = export(tiny.train(), tmp_path / "train.pt2")
    with pytest.raises(ModelError, match=r"call model\.eval\(\)"):
        load_classifier(path)


def test_the_recipe_for_exporting_works(tmp_path, monkeypatch):
    from deeptroubles.models.exported import HOW_TO_EXPORT

    monkeypatch.chdir(tmp_path)
    model = torch.nn.Sequential(torch.nn.AvgPool2d(56), torch.nn.Flatten(), torch.nn.Linear(48, 2))
    recipe = HOW_TO_EXPORT.split(": ", 1)[1].rstrip(".")
    eval(recipe, {"torch": torch, "model": model})  # noqa: S307 (it is our own text)
    assert load_classifier("model.pt2").size == (224, 224)


class Constant(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x.mean((2, 3)) + torch.tensor([self.value, 0.0, 0.0])


def test_the_constants_of_an_exported_program_are_in_its_fingerprint(tmp_path):
    paths = [export(Constant(value), tmp_path / f"{value}.pt2") for value in (1.0, 2.0)]
    assert load_classifier(paths[0]).fingerprint() != load_classifier(paths[1]).fingerprint()
    assert load_classifier(paths[0]).fingerprint() == load_classifier(paths[0]).fingerprint()


@pytest.mark.parametrize("name", ["junk.pt2", "junk.ts", "junk.pth"])
def test_junk_is_refused_in_one_sentence(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no model")
    with pytest.raises(ModelError, match="junk"):
        load_classifier(str(tmp_path / name), size=20)


@pytest.mark.parametrize("name", ["none.pt2", "none.ts"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(ModelError, match="There is no file"):
        load_classifier(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["ts", "torchscript", "pt"])
def test_a_torchscript_program(tiny, tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    torch.jit.script(tiny.train()).save(str(path))
    classifier = load_classifier(str(path), size=(20, 24))
    assert (classifier.size, classifier.name, classifier.classes) == ((20, 24), "mine", 3)
    same_answers(classifier, tiny, torch.rand(5, 3, 20, 24))


def test_a_frozen_torchscript_program_is_known_by_its_weights(tiny, tmp_path):
    path, seen = tmp_path / "mine.ts", []
    for _ in range(2):
        torch.jit.freeze(torch.jit.script(tiny.eval())).save(str(path))
        seen += [load_classifier(str(path), size=20).fingerprint() for _ in range(2)]
        tiny.head.bias.data += 1
    assert seen[0] == seen[1] != seen[2] == seen[3]


@pytest.mark.filterwarnings("ignore")
def test_a_model_traced_in_training_mode_is_refused(tiny, tmp_path):
    torch.jit.trace(tiny.train(), torch.rand(2, 3, 20, 20), check_trace=False).save(str(tmp_path / "mine.ts"))
    with pytest.raises(ModelError, match=r"call model\.eval\(\)"):
        load_classifier(str(tmp_path / "mine.ts"), size=20)


def test_a_torchscript_program_needs_a_size(tiny, tmp_path):
    torch.jit.script(tiny).save(str(tmp_path / "mine.ts"))
    with pytest.raises(ModelError, match="--size"):
        load_classifier(str(tmp_path / "mine.ts"))


class Bomb:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("suffix", ["pt", "pth"])
@pytest.mark.parametrize("save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))])
def test_a_pickle_is_refused_without_running_it(tmp_path, suffix, save):
    fired, path = tmp_path / "fired", tmp_path / f"model.{suffix}"
    save(Bomb(fired), path)
    with pytest.raises(ModelError, match=r"package\.module:function@"):
        load_classifier(str(path), size=20)
    assert not fired.exists()
    torch.load(path, weights_only=False) if save is torch.save else pickle.loads(path.read_bytes())  # noqa: S301
    assert fired.exists()  # so it would have run


def test_a_state_dict_is_refused_with_advice(tiny, tmp_path):
    torch.save(tiny.state_dict(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match="Name what builds the network, then the file"):
        load_classifier(str(tmp_path / "model.pt"), size=20)
