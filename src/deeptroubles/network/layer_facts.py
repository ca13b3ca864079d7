"""The layers of a classifier as a table: operation, shape, and receptive field."""

from __future__ import annotations

from dataclasses import dataclass

from deeptroubles.classifier import Classifier
from deeptroubles.network.opening import open_network
from deeptroubles.network.traced import TracedNetwork


@dataclass(frozen=True)
class LayerFacts:
    """One layer of a classifier.

    Attributes:
        name: Its name, as methods take it (`layer=...`, `--layer`).
        operation: What computes it, such as `conv2d`; the class of the module where the model could not be traced.
        shape: Shape of its output, without the batch.
        units: How many channels or features it has.
        positions: Height and width of its grid of image positions; None if it has none.
        receptive_field: Height and width in pixels of what one position can depend on, in the middle of the image; the
            whole image where positions are mixed. None where the model could not be traced or the layer does not
            depend on the image.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    units: int
    positions: tuple[int, int] | None
    receptive_field: tuple[int, int] | None


def list_layers(classifier: Classifier) -> list[LayerFacts]:
    """The layers of a classifier, in the order in which they are computed.

    Args:
        classifier: The classifier.

    Returns:
        One entry per name: several names can be those of one value (a block, and the last operation in it).
    """
    network = open_network(classifier)
    found = []
    for layer in network.layers:
        grid = network.grid(layer.name)
        seen = _receptive_field(network, layer.name) if isinstance(network, TracedNetwork) else None
        found.append(
            LayerFacts(
                name=layer.name,
                operation=layer.operation,
                shape=layer.shape,
                units=grid.channels_of(layer.shape) if grid else layer.units,
                positions=grid.shape if grid else None,
                receptive_field=seen,
            )
        )
    return found


def _receptive_field(network: TracedNetwork, layer: str) -> tuple[int, int] | None:
    """The largest extent of the pixels that a position can depend on."""
    try:
        axes = network.receptive_field(layer).field.axes
    except KeyError:  # it does not depend on the pixels
        return None
    height, width = (max(0, int((axis.high - axis.low).max()) + 1) for axis in axes)
    return height, width
