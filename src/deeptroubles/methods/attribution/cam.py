"""CAM: the class activation map of a network that ends in average pooling and one linear layer (CVPR 2016)."""

from __future__ import annotations

import math

from torch import Tensor, fx

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients, layer_with_positions
from deeptroubles.methods.attribution.shared.graph_walk import open_graph
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.network import Grid, Layer, TracedNetwork, name_nodes

SAME_VALUES = {
    "view",
    "reshape",
    "_unsafe_view",
    "unsafe_view",
    "flatten",
    "squeeze",
    "clone",
    "alias",
    "contiguous",
    "dropout",
    "to_copy",
    "detach",
}
"""Operations between pooling and linear layer that change no value (dropout is inactive in eval mode)."""


def cam(classifier: Classifier, images: Images, target: Targets = None, *, against: Targets = None) -> Tensor:
    """Map of the last layer's channels, weighted by the weights of the class in the linear layer after the pooling.

    Only for networks that end in global average pooling and one linear layer, as ResNets do; the map
    is of their last layer with positions. Raw and signed, at that layer's resolution.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.

    Returns:
        N x h x w, in logits: the mean over positions is the logit without the bias.

    Raises:
        ModelError: The network does not end in average pooling and one linear layer.
        NoGradientError: The gradient is zero on every image.
        UsageError: The target is not a class.

    References:
        B. Zhou et al.: Learning Deep Features for Discriminative Localization, CVPR 2016, equation 2.
    """
    network = open_graph(classifier, "CAM", "Grad-CAM")
    last, grid = layer_with_positions(network)
    if not ends_in_pooling_and_linear(network, last, grid):
        raise ModelError(
            f"CAM is defined for networks that end in global average pooling and one linear layer, and "
            f"{classifier.name} does not; use Grad-CAM or occlusion instead."
        )
    activations, gradients = activations_and_gradients(classifier, images, target, against, last.name)
    # At the input of the pooling, the gradient of a logit is its linear weight over the number of positions.
    return (activations * gradients).sum(1) * (grid.shape[0] * grid.shape[1])


def ends_in_pooling_and_linear(network: TracedNetwork, last: Layer, grid: Grid) -> bool:
    """Whether a layer with positions is followed by average pooling to one position and one linear layer alone.

    Every operation after it has one input, so their order of computation is a chain.
    """
    nodes = name_nodes(network.graph)
    # One value can have several names: a module, and the block that ends with it.
    distinct = {nodes[layer.name]: layer for layer in network.layers[network.layers.index(last) + 1 :]}
    after = [(node, layer) for node, layer in distinct.items() if layer.operation not in SAME_VALUES]
    if len(after) != 2:
        return False
    (node, pooling), (_, linear) = after
    channels = grid.channels_of(last.shape)
    pools = _pools_all(node, pooling, last, grid) and pooling.shape in {(channels,), (channels, 1, 1)}
    classes = linear.units
    return pools and (linear.operation, linear.shape) in {("linear", (classes,)), ("conv2d", (classes, 1, 1))}


def _pools_all(node: fx.Node, pooling: Layer, last: Layer, grid: Grid) -> bool:
    """Whether a pooling averages over the positions of the grid, all of them and no class token."""
    if pooling.operation == "mean":
        averaged = {int(d) % (len(last.shape) + 1) - 1 for d in node.args[1]}  # type: ignore[union-attr,arg-type]
        tokens = math.prod(last.shape[d] for d in grid.positions)
        return averaged == set(grid.positions) and tokens == math.prod(grid.shape)
    extent = list(grid.shape)
    return pooling.operation == "adaptive_avg_pool2d" or (pooling.operation == "avg_pool2d" and node.args[1] == extent)
