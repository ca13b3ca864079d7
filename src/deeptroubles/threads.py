"""How the threads of this process wait."""

from __future__ import annotations

import os

SETTINGS = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
"""Of OpenMP, which PyTorch uses, and of OpenBLAS, which NumPy and SciPy use."""


def share_the_cores() -> None:
    """Let threads that wait for others sleep, so that other programs can use their cores.

    By default they spin. If another program holds a core, one thread is late for every layer of a network, and the
    others burn their cores until it comes: on two cores, two audits at once took five times as long as they do now.
    OpenBLAS spins also while it works, so it gets one thread. The number of PyTorch's threads stays that of the cores,
    whatever the load: results differ in the last digits with it, and the same seed must give the same bytes.

    To be called before PyTorch and NumPy are imported. What the user has set stays. For programs of our own; a library
    must not change how its host waits.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
