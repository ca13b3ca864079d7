"""Shared by class activation maps: a layer with positions, its activations, and the gradient of the score."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.masking import refuse_zero
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score
from deeptroubles.network import Grid, Layer, Network, open_network


def layer_with_positions(network: Network, name: str | None = None) -> tuple[Layer, Grid]:
    """The layer of that name, or the deepest one with image positions, and how its positions are arranged.

    Raises:
        ModelError: There is no such layer, or it has no positions.
    """
    chosen = network.layer(name) if name else network.last_with_positions
    grid = network.grid(chosen.name)
    if grid is None:
        shape = " x ".join(map(str, chosen.shape))
        raise ModelError(
            f"Layer {chosen.name!r} has no positions (its shape is {shape}); try {network.last_with_positions.name!r}."
        )
    return chosen, grid


def activations_and_gradients(
    classifier: Classifier, images: Images, target: Targets, against: Targets, layer: str | None
) -> tuple[Tensor, Tensor]:
    """Activations of a layer and the gradient of the score with respect to them, both N x C x h x w.

    Tokens are folded to the grid of their patches, and channels moved to the front; class tokens are left out.

    Raises:
        ModelError: There is no such layer, or it has no positions.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class, or the images do not fit.
    """
    batch = as_batch(classifier, images)
    network = open_network(classifier)
    chosen, grid = layer_with_positions(network, layer)
    recorded, gradients = network.gradients(batch, [chosen.name], target_score(classifier, target, against))
    gradient = refuse_zero(classifier, gradients[chosen.name], f"layer {chosen.name!r}")
    return grid.maps(recorded.activations[chosen.name]), grid.maps(gradient)
