"""Open a classifier: trace it if possible, otherwise use module hooks."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from deeptroubles.classifier import Classifier, expect_classifier
from deeptroubles.network.hooked import HookedNetwork
from deeptroubles.network.snapshot import Snapshot
from deeptroubles.network.traced import TracedNetwork, trace

Network = TracedNetwork | HookedNetwork
"""Both provide layers, recording and gradients; only the traced one has the graph."""

_OPENED: WeakKeyDictionary[Classifier, tuple[Snapshot, Network]] = WeakKeyDictionary()


def open_network(classifier: Classifier) -> Network:
    """The network of a classifier, traced once and kept while it stays the same.

    A network shares the storage of the weights, so it sees changes in place. After anything else that changes the model
    (`load_state_dict(assign=True)`, `p.data = ...`, a replaced module, pruning, another device) this traces the
    classifier again, so call it again instead of keeping an old network.

    If `torch.export` cannot trace a classifier (data-dependent control flow, an unsupported operation), module hooks
    are used instead, with a warning.
    """
    expect_classifier(classifier)
    snapshot = Snapshot(classifier)
    before, network = _OPENED.get(classifier, (None, None))
    if network is None or before != snapshot:
        network = _open(classifier)
        _OPENED[classifier] = Snapshot(classifier), network
    return network


def _open(classifier: Classifier) -> Network:
    try:
        with _quiet():
            return trace(classifier)
    except Exception as error:  # noqa: BLE001 (torch.export raises all kinds of exceptions)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        warnings.warn(
            f"{classifier.name} could not be traced ({reason}); module hooks are used instead, and methods that need "
            "the graph are not available.",
            stacklevel=3,
        )
        return HookedNetwork(classifier)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warnings, log records and printed output of torch.export."""
    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before
