"""Layers by name, and the default layer when the user names none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from deeptroubles.display import Brief
from deeptroubles.errors import ModelError, nearest

Score = Callable[[Tensor], Tensor]
"""Logits (N x K) to one number per image, or to a scalar."""

PIXELS = "pixels"
"""The name of the input, which can be requested like a layer."""

LOGITS = "logits"
"""The name of the output, which can be requested like a layer: its units are the classes."""


@dataclass(frozen=True)
class Layer:
    """The output of one module call (or of one operation written inside a module's forward).

    Attributes:
        name: The module path; with `@1`, `@2`, ... for later calls of a module that is called more than once;
            `path:operation` for an operation that is not a module.
        shape: Shape of the output without the batch.
        operation: The operation, such as `conv2d`, or a module's class name.
    """

    name: str
    shape: tuple[int, ...]
    operation: str

    @property
    def units(self) -> int:
        """Number of channels, or of features (the last axis where positions are tokens)."""
        return self.shape[-1 if len(self.shape) == 2 else 0] if self.shape else 1

    @property
    def has_weights(self) -> bool:
        """Whether the layer is a convolution, a linear layer or attention."""
        return self.operation.lower() in {"conv2d", "linear", "scaled_dot_product_attention", "multiheadattention"}

    @property
    def is_spatial(self) -> bool:
        """Whether the output is channels x height x width, with more than one position.

        1 x 1 x n is one position with channels last, as in the head of a ConvNeXt.
        """
        return len(self.shape) == 3 and self.shape[1] * self.shape[2] > 1 and self.shape[:2] != (1, 1)


@dataclass(frozen=True, repr=False)
class Recorded(Brief):
    """The result of one forward pass: logits (N x K) and the outputs of the requested layers."""

    logits: Tensor
    activations: Mapping[str, Tensor]


_NO_LAYERS = (
    "No layer of this model can be read (as in a TorchScript program); give the model as Python code (package.module:"
    "function) or as a program of torch.export, or use occlusion."
)


class LayerTable:
    """The layers of a network, in the order in which they are computed."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = tuple(layers)
        self._by_name = {layer.name: layer for layer in layers}

    def __getitem__(self, name: str) -> Layer:
        if not self._by_name:
            raise ModelError(_NO_LAYERS)
        if name not in self._by_name:
            raise ModelError(
                f"The model has no layer {name!r}.{nearest(name, self._by_name)} `network.layers` lists them all."
            )
        return self._by_name[name]

    def last_spatial(self) -> Layer:
        """The deepest layer that still has positions: the default for class activation maps.

        Raises:
            ModelError: No layer has more than one position.
        """
        if not self.layers:
            raise ModelError(_NO_LAYERS)
        spatial = [i for i, layer in enumerate(self.layers) if layer.is_spatial]
        if not spatial:
            raise ModelError("No layer of this model has positions (channels x height x width); use occlusion instead.")
        return self.not_early(self.layers[spatial[-1]])

    def is_early(self, layer: Layer) -> bool:
        """Whether most of the computation comes after a layer, so that it does not separate the classes yet."""
        place = self.layers.index(layer) + 1
        before, after = (
            sum(other.has_weights for other in part) for part in (self.layers[:place], self.layers[place:])
        )
        return after > 4 * before  # small networks have a few linear layers after few convolutions, transformers dozens

    def not_early(self, layer: Layer) -> Layer:
        """The layer itself. Raises ModelError if it comes before most of the computation."""
        if self.is_early(layer):
            raise ModelError(
                f"The last layer with positions, {layer.name!r}, comes before most of the computation (as in a vision "
                "transformer); use occlusion, or name a layer."
            )
        return layer
