"""Image classification models of the Hugging Face hub, or of a local folder in its layout.

Nothing that comes with the model runs: code of the hub is refused, and weights are read as tensors only.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.imagenet import CLASSES, imagenet_names
from deeptroubles.models.shared.extras import import_extra
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.wording import quoted

_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # numbered as in Pillow


def load(name: str, overrides: Overrides) -> Classifier:
    """Load the model, what its image processor does to pictures, and its labels."""
    transformers = import_extra("transformers", "huggingface")
    module = _load_model(transformers, name)
    known: dict[str, Any] = {"name": name, "channels": getattr(module.config, "num_channels", 3)}
    known |= _class_names(module.config.id2label)
    return build_with_processor(transformers, name, module, known, overrides)


def build_with_processor(
    transformers: Any, name: str, module: nn.Module, known: dict[str, Any], overrides: Overrides
) -> Classifier:
    """Make a classifier of a module and of what the image processor of `name` does to pictures, where it has one."""
    processor = _load_processor(transformers, name)
    if processor is not None and not {"size", "mean", "std"} <= overrides.keys():
        known = known | _preprocessing(processor.to_dict())
        _compare(build(module, {**known, "size": known["size"] or 32}, {}), processor)
    return build(module, known, overrides)


def _load_model(transformers: Any, name: str) -> Any:
    try:
        module, report = transformers.AutoModelForImageClassification.from_pretrained(
            name, trust_remote_code=False, weights_only=True, output_loading_info=True
        )
    except Exception as error:
        raise ModelError(
            f"{name} cannot be loaded as an image classification model of Hugging Face ({quoted(error)}); check "
            "the name and the network, or give a local folder with its config.json and weights: hf:FOLDER."
        ) from error
    if missing := report["missing_keys"]:
        raise ModelError(
            f"{name} has no trained weights for {', '.join(sorted(missing)[:3])}: it is not a finished classifier; "
            "train it first."
        )
    return module.float()


def _load_processor(transformers: Any, name: str) -> Any:
    try:
        return transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):
        return None  # without one, the person says size, mean and std


def _preprocessing(config: dict[str, Any]) -> dict[str, Any]:
    known = _geometry(config)
    if config.get("resample") in _FILTERS:
        known["interpolation"] = _FILTERS[config["resample"]]
    # Their mean and std apply to rescaled bytes, ours to pixels in [0, 1].
    byte = 255 * config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 255
    normalize = config.get("do_normalize", True)
    known["mean"] = [m / byte for m in config.get("image_mean") or [0]] if normalize else [0]
    known["std"] = [s / byte for s in config.get("image_std") or [1]] if normalize else [1 / byte]
    return known


def _geometry(config: dict[str, Any]) -> dict[str, Any]:
    size = config.get("size") or {}
    cropped = _pair(config["crop_size"]) if config.get("do_center_crop") and config.get("crop_size") else None
    shortest = size.get("shortest_edge")
    if shortest is None:
        scaled = _pair(size) if "height" in size else None
        return {"size": cropped or scaled, "resize": scaled}
    square = (shortest, shortest)
    if not config.get("crop_pct"):
        return {"size": cropped or square, "resize": shortest}
    # ConvNeXt: below 384 a picture is scaled further and cropped, from there on it is squashed.
    return {"size": cropped or square, "resize": int(shortest / config["crop_pct"]) if shortest < 384 else square}


def _pair(size: dict[str, int]) -> tuple[int, int]:
    return size["height"], size["width"]


def _class_names(id2label: dict[int, str]) -> dict[str, Any]:
    names = [id2label[i] for i in sorted(id2label)]
    if names[0] == "LABEL_0":  # what transformers fills in when nobody named the classes
        return {}
    if len(names) == CLASSES and names[0].startswith("tench"):
        return imagenet_names()
    return {"class_names": names}


def _compare(classifier: Classifier, processor: Any) -> None:
    """Check on a picture of soft colors that we prepare it as the processor does: some go their own ways."""
    ramp = Image.linear_gradient("L").resize((480, 360))
    picture = Image.merge("RGB", (ramp, ramp.transpose(Image.Transpose.ROTATE_180), Image.new("L", ramp.size, 90)))
    picture = picture if classifier.channels == 3 else ramp
    theirs = torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"])
    ours = (classifier.prepare(picture)[None] - classifier.mean) / classifier.std
    if theirs.shape != ours.shape or float(((theirs - ours) * classifier.std).abs().mean()) > 0.01:
        raise ModelError(
            f"The image processor of {classifier.name} ({type(processor).__name__}) treats pictures in a way that is "
            "not supported; give --size, --mean and --std, or write a function that returns a Classifier."
        )


SOURCE = Source(
    form="hf:NAME",
    what="an image classification model of the Hugging Face hub, or a local folder in its layout",
    brings="weights, preprocessing, class names",
    extra="huggingface",
    pattern="hf:(.+)",
    load=load,
)
