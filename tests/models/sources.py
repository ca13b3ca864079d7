"""One small classifier of every source: its architecture is a real one, its weights are random."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tests.networks import Plain
from tests.small_clip import new_clip, save_clip
from tests.torchvision_shim import declare_operators

from deeptroubles import Classifier, load_classifier

NAMES = ["cat", "dog", "horse", "owl"]
SIZE = 32
FACTORY = """
from tests.networks import Plain

def build():
    return Plain()
"""


def exported(folder: Path) -> Classifier:
    """A ResNet of torchvision as a `.pt2` file."""
    batch = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(_resnet(), (torch.zeros(2, 3, SIZE, SIZE),), dynamic_shapes=batch)
    torch.export.save(program, folder / "resnet.pt2")
    return load_classifier(str(folder / "resnet.pt2"), class_names=NAMES)


def scripted(folder: Path) -> Classifier:
    """The same as a TorchScript program."""
    torch.jit.script(_resnet()).save(str(folder / "resnet.ts"))
    return load_classifier(str(folder / "resnet.ts"), class_names=NAMES, size=SIZE)


def onnx(folder: Path) -> Classifier:
    """A small network, written operation by operation."""
    from tests.models.test_onnx import saved

    saved(folder / "small.onnx")
    return load_classifier(str(folder / "small.onnx"), class_names=NAMES)


def keras(folder: Path) -> Classifier:
    """A residual network, which scales bytes and squashes its outputs itself."""
    from deeptroubles.models.keras import import_keras

    found = import_keras()
    found.utils.set_random_seed(0)
    layers = found.layers
    inputs = found.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Rescaling(1 / 255)(inputs))
    for i in range(2):
        y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
        x = layers.Activation("relu", name=f"block{i}")(layers.Add()([x, y]))
        x = layers.MaxPooling2D()(x)
    found.Model(inputs, layers.Dense(len(NAMES), "softmax")(layers.GlobalAveragePooling2D()(x))).save(
        folder / "r.keras"
    )
    return load_classifier(str(folder / "r.keras"), class_names=NAMES)


def huggingface(folder: Path) -> Classifier:
    """A vision transformer with two layers."""
    import transformers

    wide = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    settings = transformers.ViTConfig(**wide, image_size=SIZE, patch_size=8, id2label=dict(enumerate(NAMES)))
    transformers.ViTForImageClassification(settings).save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIZE, "width": SIZE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return load_classifier(f"hf:{folder}")


def timm(folder: Path) -> Classifier:
    """The ResNet that timm has for tests."""
    import timm

    torch.save(timm.create_model("test_resnet", num_classes=len(NAMES)).state_dict(), folder / "w.pth")
    return load_classifier(f"timm:test_resnet@{folder / 'w.pth'}", class_names=NAMES, size=SIZE)


def torchvision(folder: Path) -> Classifier:
    """MobileNetV3."""
    declare_operators()
    import torchvision

    network = torchvision.models.mobilenet_v3_small(num_classes=len(NAMES))
    torch.save(network.state_dict(), folder / "w.pth")
    return load_classifier(f"torchvision:mobilenet_v3_small@{folder / 'w.pth'}", class_names=NAMES, size=SIZE)


def state_dict(folder: Path) -> Classifier:
    """A network of one's own, and its weights as safetensors."""
    from safetensors.torch import save_file

    (folder / "my_models.py").write_text(FACTORY)
    save_file(Plain(seed=3).state_dict(), folder / "w.safetensors")
    return load_classifier(f"my_models:build@{folder / 'w.safetensors'}", size=SIZE, class_names=NAMES)


def lightning(folder: Path) -> Classifier:
    """The same, inside of what a Lightning module leaves."""
    (folder / "my_models.py").write_text(FACTORY)
    weights = {f"model.{name}": value for name, value in Plain(seed=3).state_dict().items()}
    torch.save({"state_dict": weights, "epoch": 1, "hyper_parameters": {"lr": 0.1}}, folder / "last.ckpt")
    return load_classifier(f"my_models:build@{folder / 'last.ckpt'}", size=SIZE, class_names=NAMES)


def trained(folder: Path) -> Classifier:
    """What `deeptroubles train` leaves."""
    from deeptroubles.models.shared.model_folder import ModelFacts, write_model

    facts = ModelFacts(base="untrained:resnet20", settings={"size": SIZE}, class_names=NAMES, name="mine")
    from deeptroubles.models.trained import operated

    write_model(folder, operated(load_classifier("untrained:resnet20", size=SIZE), facts), facts)
    return load_classifier(str(folder))


def embedded(_folder: Path) -> Classifier:
    """The network inside the package, with its trained weights, on small images."""
    return load_classifier("efficientnet-lite0", size=64)


def clip(folder: Path) -> Classifier:
    """A CLIP model."""
    return load_classifier(f"clip:{save_clip(*new_clip(), folder)}", class_names=NAMES)


def untrained(_folder: Path) -> Classifier:
    """A small network to train."""
    return load_classifier("untrained:vgg", size=SIZE, class_names=NAMES)


def own_function(folder: Path) -> Classifier:
    """A function that returns a module."""
    (folder / "my_models.py").write_text(FACTORY)
    return load_classifier("my_models:build", size=SIZE, class_names=NAMES)


def _resnet() -> torch.nn.Module:
    declare_operators()
    import torchvision

    return torchvision.models.resnet18(num_classes=len(NAMES)).eval()


SOURCES = {
    "FILE.onnx": onnx,
    "FILE.keras": keras,
    "hf:NAME": huggingface,
    "timm:NAME": timm,
    "torchvision:NAME": torchvision,
    "FILE.pt2": exported,
    "FILE.ts": scripted,
    "package.module:function@FILE": state_dict,
    "package.module:function@FILE.ckpt": lightning,
    "FOLDER": trained,
    "efficientnet-lite0": embedded,
    "clip:NAME": clip,
    "untrained:NAME": untrained,
    "package.module:function": own_function,
}
"""By its form in docs/sources.md."""
