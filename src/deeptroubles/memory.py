"""How this process holds memory."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # as in malloc.h
_LARGE = 2**30


def keep_freed_memory() -> None:
    """Keep memory that tensors have freed for the next ones, instead of giving it back to the system each time.

    glibc returns large blocks at once and asks for them anew for every layer of a network, and the system clears every
    page again: where that is slow, such as in some containers, it is most of the time of a forward pass. For programs
    of our own; a library must not change how its host holds memory. Does nothing where there is no glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, _LARGE)


def return_freed_memory() -> None:
    """Give memory that nothing uses back to the system, so that the peak of a run is that of its largest part.

    Does nothing where there is no glibc.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
