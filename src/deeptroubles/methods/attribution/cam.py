"""CAM: the class activation map of a network that ends in average pooling and one linear layer (CVPR 2016)."""

from __future__ import annotations

from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError, NeedsGraphError
from deeptroubles.methods.attribution.shared.cams import activations_and_gradients, layer_with_positions
from deeptroubles.methods.targets import Images, Targets
from deeptroubles.network import TracedNetwork, name_nodes, open_network

POOLING = {"mean", "adaptive_avg_pool2d"}
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
        UsageError: The target is not a class.

    References:
        B. Zhou et al.: Learning Deep Features for Discriminative Localization, CVPR 2016, equation 2.
    """
    network = open_network(classifier)
    if not isinstance(network, TracedNetwork):
        raise NeedsGraphError(
            f"CAM needs the traced graph, and {classifier.name} could not be traced; use Grad-CAM instead."
        )
    if not ends_in_pooling_and_linear(network):
        raise ModelError(
            f"CAM is defined for networks that end in global average pooling and one linear layer, and "
            f"{classifier.name} does not; use Grad-CAM or occlusion instead."
        )
    last = layer_with_positions(network)
    activations, gradients = activations_and_gradients(classifier, images, target, against, last.name)
    # At the input of the pooling, the gradient of a logit is its linear weight over the number of positions.
    return (activations * gradients).sum(1) * (last.shape[1] * last.shape[2])


def ends_in_pooling_and_linear(network: TracedNetwork) -> bool:
    """Whether the last layer with positions is followed by average pooling to one position and one linear layer alone.

    Every operation after it has one input, so their order of computation is a chain.
    """
    layers, nodes = network.layers, name_nodes(network.graph)
    deepest = max((i for i, layer in enumerate(layers) if layer.is_spatial), default=-1)
    # One value can have several names: a module, and the block that ends with it.
    distinct = {nodes[layer.name]: layer for layer in layers[deepest + 1 :]}
    after = [(node, layer) for node, layer in distinct.items() if layer.operation not in SAME_VALUES]
    if deepest < 0 or len(after) != 2:
        return False
    (node, pooling), (_, linear) = after
    channels, *extent = layers[deepest].shape
    is_whole = pooling.operation in POOLING or (pooling.operation == "avg_pool2d" and node.args[1] == extent)
    pools = is_whole and pooling.shape in {(channels,), (channels, 1, 1)}
    classes = linear.units
    return pools and (linear.operation, linear.shape) in {("linear", (classes,)), ("conv2d", (classes, 1, 1))}
