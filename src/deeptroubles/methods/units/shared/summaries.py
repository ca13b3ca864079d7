"""Summaries of images for all units of all layers, which are merged into an index of the units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.engine import Arrays
from deeptroubles.errors import ModelError
from deeptroubles.methods.units.shared.activations import by_unit
from deeptroubles.network import Layer, layer_reducer, open_network
from deeptroubles.subject import Subject

_NONE = np.iinfo(np.int64).min
"""The key of an entry without an image."""


def strongest(activation: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum over positions of every unit, and its first position (in reading order): both N x U."""
    if activation.ndim == 4 and activation.is_contiguous(memory_format=torch.channels_last):
        # Row by row: a maximum is fast, its position takes ten times as long.
        pixels = activation.permute(0, 2, 3, 1)
        values, row = pixels.amax(2).max(1)
        width = pixels.shape[2]
        line = pixels.gather(1, row[:, None, None, :].expand(-1, 1, width, -1))[:, 0]
        return values, row * width + line.max(1).indices
    values, cells = by_unit(activation).max(2)
    return values, cells


def layer_grid(layer: Layer) -> tuple[int, int]:
    """Height and width of the positions of a layer. Raises ModelError when it has no units."""
    if len(layer.shape) == 3:
        return layer.shape[1], layer.shape[2]
    if len(layer.shape) in {1, 2}:
        return 1, (layer.shape[0] if len(layer.shape) == 2 else 1)
    shape = " x ".join(map(str, layer.shape)) or "one number"
    raise ModelError(f"The layer {layer.name!r} has the output {shape}, without units; choose another layer.")


def priority(positions: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random rank for each image that depends only on its position and the seed, not on how images are chunked.

    The mixing function of SplitMix64 (Steele et al., Fast splittable pseudorandom number generators, 2014). It is a
    bijection, so no two images have the same rank.
    """
    with np.errstate(over="ignore"):
        x = positions.astype(np.uint64) + np.random.default_rng(seed).integers(1 << 63, dtype=np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) ^ np.uint64(1 << 63)).view(np.int64)


def summarize(
    subject: Subject, indices: Sequence[int], batch_size: int, layers: Sequence[str], samples: int, seed: int, last: int
) -> Arrays:
    """The summary of some images. All activations are kept for images with a priority up to `last`.

    The units of all layers are concatenated, U in all. The strongest and the weakest images are stored as keys
    (`keys_of`), U x samples.
    """
    network = open_network(subject.classifier)
    read = layer_reducer(network, layers, strongest)
    grids = [layer_grid(network.layer(name)) for name in layers]
    cell_type = np.min_scalar_type(max((height * width for height, width in grids), default=1))
    units = sum(network.layer(name).units for name in layers)
    drawn = np.asarray(indices)[priority(np.asarray(indices, dtype=np.int64), seed) <= last]
    summary = None
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        pixels, readable, unreadable = subject.readable_pixels(part)
        values, cells = np.zeros((0, units), dtype=np.float32), np.zeros((0, units), dtype=cell_type)
        if len(readable):
            with torch.inference_mode():
                maxima = read(pixels)
                values = torch.cat([v.float() for v, _ in maxima], dim=1).cpu().numpy()
                cells = torch.cat([c for _, c in maxima], dim=1).cpu().numpy().astype(cell_type)
        found = _of_batch(values, cells, readable, unreadable, np.isin(readable, drawn), samples)
        summary = found if summary is None else merge(summary, found)
    return summary or {}


def _of_batch(
    values: NDArray[np.float32],
    cells: NDArray[Any],
    images: NDArray[np.int64],
    unreadable: NDArray[np.int64],
    kept: NDArray[np.bool_],
    samples: int,
) -> Arrays:
    """The summary of a batch, from N x U activations and their positions."""
    by_unit_cells = np.ascontiguousarray(cells.T)
    top, top_cells = best(keys_of(values.T, images), by_unit_cells, samples)
    low, low_cells = best(keys_of(-values.T, images), by_unit_cells, samples)
    return {
        "count": np.array(len(images)),
        "unreadable": unreadable,
        "top": top,
        "top_cells": top_cells,
        "low": low,
        "low_cells": low_cells,
        "sum": values.sum(0, dtype=np.float64),
        "active": (values > 0).sum(0),
        "kept": images[kept],
        "values": values[kept],
        "cells": cells[kept],
    }


def merge(a: Arrays, b: Arrays) -> Arrays:
    """Merge the summaries of two disjoint sets of images."""
    merged = {name: a[name] + b[name] for name in ("count", "sum", "active")}
    merged |= {name: np.concatenate([a[name], b[name]]) for name in ("unreadable", "kept", "values", "cells")}
    for end in ("top", "low"):
        keys, cells = (np.concatenate([a[name], b[name]], axis=1) for name in (end, f"{end}_cells"))
        merged[end], merged[f"{end}_cells"] = best(keys, cells, a[end].shape[1])
    return merged


def keys_of(values: NDArray[np.float32], images: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integers that order images by value, then by descending position: the bits of the value above the position.

    No two keys are equal, so the best ones do not depend on the order of the images.
    """
    bits = (np.ascontiguousarray(values, dtype=np.float32) + np.float32(0)).view(np.int32).astype(np.int64)  # no -0
    rising = np.where(bits >= 0, bits, bits ^ 0x7FFFFFFF)
    return np.asarray((rising << 32) | (0xFFFFFFFF - images))


def read_keys(keys: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The values and positions of keys; NaN and -1 where there was no image."""
    rising = (keys >> 32).astype(np.int32)
    values = np.where(rising >= 0, rising, rising ^ 0x7FFFFFFF).astype(np.int32).view(np.float32)
    missing = keys == _NONE
    return np.where(missing, np.float32(np.nan), values), np.where(missing, -1, 0xFFFFFFFF - (keys & 0xFFFFFFFF))


def best(keys: NDArray[np.int64], cells: NDArray[Any], count: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The `count` highest keys of each row, highest first, and their cells; padded where there are fewer."""
    if (lacking := count - keys.shape[1]) > 0:
        keys = np.pad(keys, ((0, 0), (0, lacking)), constant_values=_NONE)
        cells = np.pad(cells, ((0, 0), (0, lacking)))
    found = torch.from_numpy(keys).topk(count, dim=1)
    return found.values.numpy(), np.take_along_axis(cells, found.indices.numpy(), axis=1)
