"""A classifier: a module with what it takes to feed it images and to read its output.

A `Classifier` takes pixels in [0, 1] and returns logits. Everything between a picture and the module (size, crop,
normalization) and between the module and the logits (tuples, dictionaries, probabilities) is said here, once.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from deeptroubles.errors import ModelError, UsageError
from deeptroubles.outputs import OUTPUTS, Outputs, contradiction, describe, recognize, squashes, to_logits

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_PIL_FILTER = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MOST = 2.0
"""Means and standard deviations of pixels in [0, 1] are far below this."""


class Classifier(nn.Module):
    """A trained image classifier with its preprocessing and class names.

    Args:
        module: Any module that maps N x C x H x W inputs to N x K logits or probabilities, or to one number per image
            (N or N x 1), which makes two classes. It is used in eval mode; its own mode is restored after every call.
        size: Height and width of the input in pixels (one number for a square).
        mean: Subtracted from pixels in [0, 1], per channel. Default 0.
        std: Divides afterwards, per channel. Default 1.
        class_names: One name per class, in order. Default: "class 0", "class 1", ... For a module with one output, the
            name of what a high output means is enough: "tumor" makes the classes "not tumor" and "tumor".
        class_aliases: Further names by which a label may call a class (lower case), e.g. WordNet ids.
        channels: 1 for grayscale, 3 for RGB; with other numbers only methods that take tensors can be used.
        resize: Length of the shorter side before the center crop, or a height and a width to which every image is
            scaled, whatever its proportions. Default: the image is scaled so that it just covers `size`.
        interpolation: Filter used for scaling.
        output: Which entry of the module's output holds the logits, when it is a tuple (an index) or a
            dictionary or object (a name). Default: the output itself, or its `logits`.
        outputs: What the module returns: `logits`, `probabilities` (softmax) or `sigmoid` (one probability per class,
            or per image); see `deeptroubles.outputs.to_logits` for how each becomes logits. Default: what the values
            for some drawn images look like; an audit decides again from the values for all of its images.
        name: What to call it in reports.
        source: Where it came from, e.g. `timm:resnet50`.

    Raises:
        ModelError: The module does not behave like a classifier (see the message).
    """

    mean: Tensor
    std: Tensor
    notes: tuple[str, ...] = ()
    """What a reader should know about how it was loaded."""

    def __init__(
        self,
        module: nn.Module,
        *,
        size: int | tuple[int, int],
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        class_names: Sequence[str] | None = None,
        class_aliases: Mapping[str, int] | None = None,
        channels: int = 3,
        resize: int | tuple[int, int] | None = None,
        interpolation: Interpolation = "bilinear",
        output: int | str | None = None,
        outputs: Outputs | None = None,
        name: str = "",
        source: str = "",
    ) -> None:
        super().__init__()
        self.module = module
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        self.channels = channels
        self.resize = resize if resize is None or isinstance(resize, int) else (int(resize[0]), int(resize[1]))
        if interpolation not in _PIL_FILTER:
            raise ModelError(f"There is no interpolation {interpolation!r}; choose {', '.join(_PIL_FILTER)}.")
        self.interpolation: Interpolation = interpolation
        self.output = output
        if outputs is not None and outputs not in OUTPUTS:
            raise ModelError(f"There are no outputs {outputs!r}; choose {', '.join(OUTPUTS)}.")
        self.declared_outputs = outputs
        self.name = name or type(module).__name__
        self.source = source or f"{type(module).__module__}.{type(module).__qualname__}"
        like = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
        self.register_buffer("mean", _per_channel(mean, 0.0, channels, "mean").to(like), persistent=False)
        self.register_buffer("std", _per_channel(std, 1.0, channels, "std").to(like), persistent=False)
        probed = self._probe()
        self.outputs, self.outputs_note = self._read(probed)
        self.output_count = probed.shape[1]
        self.classes = max(2, self.output_count)
        if isinstance(class_names, str):
            raise ModelError(f"class_names={class_names!r} is one text; give a list with one name for each class.")
        self.has_class_names = class_names is not None
        names = [f"class {i}" for i in range(self.classes)] if class_names is None else [str(n) for n in class_names]
        self.class_names = (f"not {names[0]}", names[0]) if self.output_count == len(names) == 1 else tuple(names)
        self.class_aliases = dict(class_aliases or {})
        if len(self.class_names) != self.classes:
            order = "output, in the order of the outputs"
            if self.output_count == 1:
                order = "class, the class of low outputs first, or only that of high ones"
            raise ModelError(
                f"The model has {self.output_count} output{'s' if self.output_count > 1 else ''} but "
                f"{len(self.class_names)} class names were given; give one name per {order}."
            )

    def __repr__(self) -> str:
        names = ", ".join(self.class_names[:3]) + (", ..." if self.classes > 3 else "")
        weights = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"Classifier {self.name} ({self.source}): {self.classes} classes ({names}), {weights:,} parameters\n"
            f"  {self.describe_preprocessing()}"
        )

    def settings(self) -> dict[str, Any]:
        """What it was made with beside its module and source, as keyword arguments for another one."""
        return {
            "size": self.size,
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
            "class_names": self.class_names if self.has_class_names else None,
            "class_aliases": self.class_aliases,
            "channels": self.channels,
            "resize": self.resize,
            "interpolation": self.interpolation,
            "output": self.output,
            "outputs": self.declared_outputs,
            "name": self.name,
        }

    @property
    def device(self) -> torch.device:
        """The device that inputs must be on."""
        return self.mean.device

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels (N x C x H x W, in [0, 1], of any number type) to logits (N x K)."""
        return to_logits(self.returned(pixels), self.outputs)

    def returned(self, pixels: Tensor) -> Tensor:
        """Map pixels (N x C x H x W, in [0, 1]) to what the module returns: N x M, with M = 1 for one output."""
        values = self.pick(self.module((pixels.to(self.mean.dtype) - self.mean) / self.std))
        return values.reshape(-1, 1) if values.ndim < 2 else values

    def reading(self, values: Tensor) -> Classifier:
        """This classifier, with its outputs read as what the module returned for all images (N x M) looks like.

        Outputs that were declared stay as they are. Weights are shared.

        Raises:
            ModelError: The values are not what was declared.
        """
        found, note = self._read(values)
        if (found, note) == (self.outputs, self.outputs_note):
            return self
        read = copy.copy(self)
        read.outputs, read.outputs_note = found, note
        return read

    def pick(self, returned: Any) -> Tensor:
        """Take the logits out of what the module returned: a tensor, tuple, dictionary or object."""
        if self.output is not None:
            try:
                returned = (
                    getattr(returned, str(self.output)) if _has_field(returned, self.output) else returned[self.output]
                )
            except (KeyError, IndexError, TypeError):
                raise ModelError(
                    f"The model's output has no entry {self.output!r}; it has {_entries(returned)}."
                ) from None
        elif not isinstance(returned, Tensor) and _has_field(returned, "logits"):
            returned = returned.logits
        elif isinstance(returned, Mapping) and "logits" in returned:
            returned = returned["logits"]
        if not isinstance(returned, Tensor):
            raise ModelError(
                f"The model returns {_entries(returned)}, not one tensor of logits; say which entry holds them with "
                "output=... (on the command line: --output)."
            )
        return returned

    def _read(self, values: Tensor) -> tuple[Outputs, str]:
        """What values (N x M) of the module are, as declared or as they look, and a note on it."""
        if self.declared_outputs and (wrong := contradiction(values, self.declared_outputs)):
            raise ModelError(f"{wrong}; leave out outputs={self.declared_outputs!r} (on the command line: --outputs).")
        found = self.declared_outputs or recognize(values, squashed=self._squashes)
        return found, describe(values, found, declared=self.declared_outputs is not None)

    def prepare(self, image: Image.Image) -> Tensor:
        """Prepare a picture: converted, scaled and center-cropped to C x H x W in [0, 1]."""
        return unit_pixels(self.fitted(image)[None])[0]

    def fitted(self, image: Image.Image) -> NDArray[np.uint8]:
        """A picture as `prepare` gives it, in 8 bits and channels last: H x W x C.

        Pillow converts and scales in 8 bits, so nothing is lost: `prepare` gives these values divided by 255.
        """
        if self.channels not in {1, 3}:
            raise ModelError(
                f"Images have 1 or 3 channels, but the model takes {self.channels}; call methods with tensors instead."
            )
        return self._framed(image.convert("L" if self.channels == 1 else "RGB"), self.interpolation)

    def prepare_mask(self, mask: Image.Image) -> Tensor:
        """Prepare the mask of a picture (mode L): H x W, bool (half covered counts)."""
        return torch.from_numpy(self._framed(mask, "bilinear")[..., 0] >= 128)

    def _framed(self, image: Image.Image, interpolation: Interpolation) -> NDArray[np.uint8]:
        height, width = self.size
        scaled = self._scaled(image.width, image.height)
        if scaled != image.size:
            image = image.resize(scaled, _PIL_FILTER[interpolation])
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return np.asarray(image.crop((left, top, left + width, top + height))).reshape(height, width, -1)

    def scale(self, image: Image.Image) -> float:
        """The factor by which `prepare` scales a picture: the mean of both sides, where its proportions change."""
        width, height = self._scaled(image.width, image.height)
        return (width / image.width + height / image.height) / 2

    @property
    def scaling(self) -> Callable[[int, int], tuple[int, int]] | None:
        """How pictures are scaled, by width and height; None where single pixels are picked (nearest)."""
        return None if self.interpolation == "nearest" else self._scaled

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height to which a picture is scaled before the crop; never less than the crop."""
        if isinstance(self.resize, tuple):
            return max(self.size[1], self.resize[1]), max(self.size[0], self.resize[0])
        sides = ((self.size[0], height), (self.size[1], width), (self.resize or 0, min(width, height)))
        wanted, given = max(sides, key=lambda side: side[0] / side[1])
        # Whole numbers, rounded down: the same pixels as torchvision and timm.
        return max(self.size[1], width * wanted // given), max(self.size[0], height * wanted // given)

    def fingerprint(self) -> str:
        """Hash the weights, the preprocessing and the class names: what decides the predictions."""
        digest = hashlib.blake2b(digest_size=16)
        how = (type(self.module).__qualname__, self.describe_preprocessing(), self.output)
        digest.update(repr(how).encode())
        digest.update("\0".join(self.class_names).encode())
        for name, tensor in sorted(self._tensors(), key=lambda pair: pair[0]):
            digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors that decide the predictions: also the constants of programs, which are in no state dict."""
        yield from self.named_parameters()
        yield from self.named_buffers()
        constants: Mapping[str, Any] = {}
        if isinstance(self.module, torch.jit.ScriptModule):  # when frozen, all its weights are constants
            constants = self.module.code_with_constants[1].const_mapping
        elif isinstance(self.module, torch.fx.GraphModule):
            constants = vars(self.module)
        yield from ((f"constant {name}", value) for name, value in constants.items() if isinstance(value, Tensor))

    def describe_preprocessing(self) -> str:
        """How pictures become inputs, in words."""
        height, width = self.size
        if isinstance(self.resize, tuple):
            scaled = f"scaled to {self.resize[1]} x {self.resize[0]} whatever its proportions"
        else:
            scaled = f"shorter side scaled to {self.resize}" if self.resize else "scaled to cover the input"
        mean = ", ".join(f"{v:g}" for v in self.mean.flatten().tolist())
        std = ", ".join(f"{v:g}" for v in self.std.flatten().tolist())
        crop = f"{self.interpolation}, {scaled}, center crop {width} x {height}"
        last = "" if self.outputs == "logits" else f"; outputs read as {self.outputs}"
        return f"{crop}, {self.channels} channel(s), (pixels - [{mean}]) / [{std}]{last}"

    def _probe(self) -> Tensor:
        """What the module returns for a few drawn images, N x M; checks that it behaves like a classifier."""
        try:
            pixels = self.mean.new_full((2, self.channels, *self.size), 0.5)
            pixels[1] += torch.linspace(-0.4, 0.4, self.size[1], device=self.device)
        except RuntimeError as error:
            shape = _shape((self.channels, *self.size))
            raise ModelError(
                f"An input of {shape} does not fit into the memory; check the input size (--size)."
            ) from error
        with evaluating(self), torch.no_grad():
            values = self._try(pixels)
            _check_values(values)
            alone = self._try_with_history(pixels[1:])
            further = self._try(_drawn(pixels[0]))
        self._squashes = squashes(alone)
        if not torch.allclose(alone.detach(), values[1:], rtol=0.01, atol=0.01 * float(values.abs().max())):
            raise ModelError(
                "The model gives different logits for the same image from call to call, or depending on the other "
                "images in the batch; if it was exported or traced, call model.eval() on it before."
            )
        return torch.cat([values, further[torch.isfinite(further).all(1)]])

    def _try_with_history(self, pixels: Tensor) -> Tensor:
        """As `_try`, with what autograd knows about it; without, where the module has no gradients."""
        try:
            with torch.enable_grad():
                return self.returned(pixels.clone().requires_grad_())
        except Exception:  # noqa: BLE001 (a module may refuse in any way; without gradients it has proved to work)
            return self._try(pixels)

    def _try(self, pixels: Tensor) -> Tensor:
        try:
            return self.returned(pixels)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"The model fails on an input of {_shape(pixels.shape)} ({_first_line(error)}); check the input size "
                "(--size) and the number of channels (--channels), and that it takes any number of images."
            ) from error


def unit_pixels(shades: NDArray[np.uint8]) -> Tensor:
    """Pixels in [0, 1] (N x C x H x W, single precision) of 8-bit pixels (N x H x W x C)."""
    pixels = shades.transpose(0, 3, 1, 2).astype(np.float32, order="C")
    pixels /= 255  # by numpy, which divides to the last bit on every device
    return torch.from_numpy(pixels)


def expect_classifier(model: Any) -> None:
    """Raise UsageError with what to do if a model is a bare module, or something else that is no `Classifier`."""
    if isinstance(model, Classifier):
        return
    raise UsageError(
        f"This takes a deeptroubles.Classifier, not a {type(model).__name__}; wrap the module in one, with the values "
        "it was trained with: Classifier(module, size=224, mean=[...], std=[...], class_names=[...])."
    )


class evaluating:  # noqa: N801 (a context manager, read as a word)
    """Put every module of a model in eval mode, and each back in its own mode afterwards."""

    def __init__(self, module: nn.Module) -> None:
        # A frozen TorchScript program has no mode.
        self._modes = [(m, m.training) for m in module.modules() if hasattr(m, "training")]

    def __enter__(self) -> None:
        for module, _ in self._modes:
            module.training = False

    def __exit__(self, *_: object) -> None:
        for module, training in self._modes:
            module.training = training


def _per_channel(values: Sequence[float] | None, default: float, channels: int, what: str) -> Tensor:
    values = [default] * channels if values is None else list(values)
    if len(values) == 1:
        values = list(values) * channels
    if len(values) != channels:
        raise ModelError(f"{what} has {len(values)} values for {channels} channels; give one per channel.")
    if what == "std" and any(not v > 0 for v in values):
        raise ModelError("std must be above 0 in every channel; it divides the pixels.")
    if not all(abs(v) <= _MOST for v in values):
        raise ModelError(
            f"{what} is {', '.join(f'{v:g}' for v in values)}, but pixels are in [0, 1]; values for pixels in 0..255 "
            f"must be divided by 255 ({', '.join(f'{v / 255:.3g}' for v in values)})."
        )
    return torch.tensor(values, dtype=torch.float32).view(1, channels, 1, 1)


def _check_values(values: Tensor) -> None:
    if values.ndim != 2 or values.shape[0] != 2 or values.shape[1] < 1:
        raise ModelError(
            f"The model maps 2 images to a tensor of {_shape(values.shape)}; a classifier gives one row of logits per "
            "image (2 x K), or one number (2 x 1)."
        )
    if not torch.isfinite(values).all():
        raise ModelError("The model returns NaN or infinity for a plain gray image; check its weights, mean and std.")


def _drawn(plain: Tensor) -> Tensor:
    """Images of the shape of one (C x H x W) that are as different as possible: black, white, one channel, noise."""
    one = torch.zeros_like(plain)
    one[0] = 1
    noise = torch.rand(plain.shape, generator=torch.Generator().manual_seed(0)).to(plain)
    return torch.stack([torch.zeros_like(plain), torch.ones_like(plain), one, noise, noise.round()])


def _has_field(returned: Any, name: int | str) -> bool:
    return isinstance(name, str) and isinstance(getattr(returned, name, None), Tensor)


def _entries(returned: Any) -> str:
    if isinstance(returned, Mapping):
        return "a dictionary with " + ", ".join(repr(key) for key in returned)
    if isinstance(returned, list | tuple):
        return f"a {type(returned).__name__} of {len(returned)} entries"
    return f"a {type(returned).__name__}"


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(str(s) for s in shape)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
