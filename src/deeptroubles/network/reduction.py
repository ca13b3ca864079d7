"""Compute a reduction of layer outputs, such as a maximum per unit, without keeping the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from torch import Tensor, fx

from deeptroubles.network.batch_norm_fusion import in_fast_layout, optimized
from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.layers import LOGITS
from deeptroubles.network.opening import Network
from deeptroubles.network.traced import TracedNetwork, name_nodes

Reduce = Callable[[Tensor], Any]
Reducer = Callable[[Tensor], list[Any]]
_REUSED: ContextVar[dict[Any, Reducer] | None] = ContextVar("reused", default=None)


def layer_reducer(network: Network, layers: Sequence[str], reduce: Reduce) -> Reducer:
    """A function from pixels to `reduce(output)` for each layer.

    Each output is reduced as soon as it is computed, while it is still in the cache of the CPU, and freed when no later
    operation needs it. Nothing after the last of the layers is computed. A traced network runs with batch normalization
    fused (make a new function when the weights change), and on a CPU with channels last, which is faster. Both change
    the outputs within rounding.

    Args:
        network: The network.
        layers: Names of layers.
        reduce: Called with the output of each layer for a batch.

    Raises:
        ModelError: There is no such layer.
    """
    reused = _REUSED.get()
    key = (id(network), tuple(layers), reduce)
    if reused is not None and key in reused:
        return reused[key]
    for name in layers:
        network.layer(name)
    if isinstance(network, TracedNetwork):
        reducer = _with_reductions(optimized(network, layers), layers, reduce)
    else:
        reducer = partial(_recorded, network, layers, reduce)
    if reused is not None:
        reused[key] = reducer
    return reducer


@contextmanager
def reusing_reducers() -> Iterator[None]:
    """Within the block, `layer_reducer` makes each function once. The weights must not change."""
    before = _REUSED.set({})
    try:
        yield
    finally:
        _REUSED.reset(before)


def _recorded(network: HookedNetwork, layers: Sequence[str], reduce: Reduce, pixels: Tensor) -> list[Any]:
    return [reduce(value) for value in network.record(pixels, layers).activations.values()]


def _with_reductions(network: TracedNetwork, layers: Sequence[str], reduce: Reduce) -> Reducer:
    """Run a copy of the network in which each layer is followed by its reduction."""
    reduced: list[fx.Node] = []

    def change(module: fx.GraphModule) -> None:
        named = name_nodes(module.graph)
        named[LOGITS] = next(iter(module.graph.find_nodes(op="output"))).all_input_nodes[0]
        for name in layers:
            with module.graph.inserting_after(named[name]):
                reduced.append(module.graph.call_function(reduce, (named[name],)))

    inserted = network.rewritten(change)
    return lambda pixels: list(inserted.values(in_fast_layout(network, pixels), reduced).values())
