"""Shared by class activation maps: a layer with positions, its activations, and the gradient of the score."""

from __future__ import annotations

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score
from deeptroubles.network import Layer, Network, TracedNetwork, name_nodes, open_network

AT_THE_END = (-2, -1)
POOLS_POSITIONS = {torch.ops.aten.avg_pool2d.default, torch.ops.aten.adaptive_avg_pool2d.default}
"""Operations whose last two input dimensions are positions."""


def layer_with_positions(network: Network, name: str | None = None) -> Layer:
    """The layer of that name, or the deepest one, if its output is channels x height x width of image positions.

    Raises:
        ModelError: There is no such layer, or it has no positions, or they are not the last dimensions (channels last,
            tokens).
    """
    chosen = network.layer(name) if name else network.table.last_spatial()
    shape = " x ".join(map(str, chosen.shape))
    if not chosen.is_spatial:
        raise ModelError(
            f"Layer {chosen.name!r} has no positions (its shape is {shape}); try {network.table.last_spatial().name!r}."
        )
    if isinstance(network, TracedNetwork) and not _is_channels_by_positions(network, chosen):
        raise ModelError(
            f"Layer {chosen.name!r} ({shape}) is not channels x height x width of image positions (as in a vision "
            "transformer, or with channels last); use occlusion, or name another layer."
        )
    return chosen


def activations_and_gradients(
    classifier: Classifier, images: Images, target: Targets, against: Targets, layer: str | None
) -> tuple[Tensor, Tensor]:
    """Activations of a layer and the gradient of the score with respect to them, both N x C x h x w.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        UsageError: The target is not a class, or the images do not fit.
    """
    batch = as_batch(classifier, images)
    network = open_network(classifier)
    chosen = layer_with_positions(network, layer).name
    recorded, gradients = network.gradients(batch, [chosen], target_score(classifier, target, against))
    return recorded.activations[chosen], gradients[chosen]


def _is_channels_by_positions(network: TracedNetwork, layer: Layer) -> bool:
    """Whether the last two dimensions of a layer are those of the image, as far as the graph shows.

    Where an operation hides this (a split, an unusual reshape), the layer must be pooled over positions (as at the end
    of a Swin transformer), or have the height and width of a layer for which it is known.
    """
    dims = _image_dims(network, layer)
    if dims is not None:
        return dims == AT_THE_END
    if any(user.target in POOLS_POSITIONS for user in name_nodes(network.graph)[layer.name].users):
        return True
    known = (other.shape[1:] for other in network.layers if _image_dims(network, other) == AT_THE_END)
    return layer.shape[1:] in set(known)


def _image_dims(network: TracedNetwork, layer: Layer) -> tuple[int, int] | None:
    try:
        return network.receptive_field(layer.name).field.dims
    except KeyError:  # it does not depend on the pixels
        return None
