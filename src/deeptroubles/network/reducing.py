"""Run a network for what is said about its layers, not for the layers themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from torch import Tensor, fx

from deeptroubles.network.batch_norm_fusion import laid_out, lean
from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.layers import LOGITS
from deeptroubles.network.opening import Network
from deeptroubles.network.traced import TracedNetwork, name_nodes

Reduce = Callable[[Tensor], Any]
Reading = Callable[[Tensor], list[Any]]
_HELD: ContextVar[dict[Any, Reading] | None] = ContextVar("held", default=None)


def reducing(network: Network, layers: Sequence[str], reduce: Reduce) -> Reading:
    """A function from pixels to what `reduce` gives for the output of each layer.

    Each output is reduced as soon as it is computed, while it is still in the processor's cache, and forgotten when
    no later operation needs it; what comes after the last of the layers is not computed. A traced network runs with its
    batch normalisations folded into what the weights are now (make a new function after these have changed), and on a
    CPU with channels last, which is quicker. Both change the outputs by rounding.

    Args:
        network: What is run.
        layers: Names of layers.
        reduce: Called with the output of each layer for a batch.

    Raises:
        ModelError: There is no such layer.
    """
    held = _HELD.get()
    key = (id(network), tuple(layers), reduce)
    if held is not None and key in held:
        return held[key]
    for name in layers:
        network.layer(name)
    if isinstance(network, TracedNetwork):
        reading = _with_reductions(lean(network, layers), layers, reduce)
    else:
        reading = partial(_recorded, network, layers, reduce)
    if held is not None:
        held[key] = reading
    return reading


@contextmanager
def weights_at_rest() -> Iterator[None]:
    """Inside of the block `reducing` makes each function once, for work that comes in pieces."""
    before = _HELD.set({})
    try:
        yield
    finally:
        _HELD.reset(before)


def _recorded(network: HookedNetwork, layers: Sequence[str], reduce: Reduce, pixels: Tensor) -> list[Any]:
    return [reduce(value) for value in network.record(pixels, layers).activations.values()]


def _with_reductions(network: TracedNetwork, layers: Sequence[str], reduce: Reduce) -> Reading:
    """Run a copy of the network in which every layer is followed by its reduction."""
    reduced: list[fx.Node] = []

    def change(module: fx.GraphModule) -> None:
        named = name_nodes(module.graph)
        named[LOGITS] = next(iter(module.graph.find_nodes(op="output"))).all_input_nodes[0]
        for name in layers:
            with module.graph.inserting_after(named[name]):
                reduced.append(module.graph.call_function(reduce, (named[name],)))

    inserted = network.rewritten(change)
    return lambda pixels: list(inserted.values(laid_out(network, pixels), reduced).values())
