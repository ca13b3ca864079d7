"""What a traced network was made from, to notice that the model has changed since."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, nn

from deeptroubles.classifier import Classifier

_STANDARD = frozenset(vars(nn.Module()))
"""What every module has: its mode, which is set for every call, and collections that are looked into."""


class Snapshot:
    """A classifier's modules, their attributes and hooks, and where its weights are stored.

    The values of the weights are no part of it: a traced network shares their storage, so it sees every change in
    place. Everything else (other storage, another shape, type or device, another module, hook or setting) makes a new
    trace necessary.
    """

    def __init__(self, classifier: Classifier) -> None:
        # Kept, and compared by identity, so that no identity is given to a new object.
        self._objects: list[Any] = []
        self._storage: list[Any] = []
        for module in classifier.modules():
            own = [value for name, value in vars(module).items() if name not in _STANDARD]
            before, after = module._forward_pre_hooks, module._forward_hooks  # noqa: SLF001
            self._objects += (module, module.__class__, *before.values(), *after.values())
            self._objects += [value for value in own if not isinstance(value, Tensor)]
            weights = (*module._parameters.values(), *module._buffers.values())  # noqa: SLF001
            self._storage += [_storage(tensor) for tensor in weights if tensor is not None]
            if not before:  # a hook that runs before each call, as in pruning, sets such tensors anew every time
                self._storage += [(*_storage(t), version(t)) for t in own if isinstance(t, Tensor)]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Snapshot)
            and self._storage == other._storage
            and len(self._objects) == len(other._objects)
            and all(map(operator.is_, self._objects, other._objects))
        )

    __hash__ = None  # type: ignore[assignment]


def version(tensor: Tensor) -> int:
    """How often a tensor was changed in place; -1 where PyTorch does not count."""
    return -1 if tensor.is_inference() else tensor._version  # noqa: SLF001


def _storage(tensor: Tensor) -> tuple[Any, ...]:
    """Where and how the values of a tensor are stored."""
    strided = tensor.layout == torch.strided
    where = (tensor.data_ptr(), tensor.stride()) if strided else (id(tensor), ())
    return (*where, tensor.shape, tensor.dtype, tensor.device)
