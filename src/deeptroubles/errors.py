"""What can go wrong, in sentences that say what to do.

DeeptroublesError
├── UsageError          the command or the call asks for something that does not exist or does not fit
├── ModelError          the model cannot be used as it is
│   ├── NeedsGraphError a method needs the traced graph, and this model could not be traced
│   └── NoGradientError a method needs gradients, and they are zero
├── ImagesError         the images cannot be used as they are
│   └── UnreadableImageError  one file; an audit lists it and continues
├── EngineError         the work cannot be done where it was asked for
└── RunFolderError      the run folder cannot be read or written

Every message is one sentence (or two) for the user: what is wrong, and what to do about it.
The command line prints it and exits with 2; only an internal error shows a traceback (exit code 3).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeeptroublesError(Exception):
    """An error the user can fix."""


class UsageError(DeeptroublesError):
    """A name, an option or an argument that does not exist or does not fit."""


class ModelError(DeeptroublesError):
    """The model cannot be loaded, or does not behave like an image classifier."""


class NeedsGraphError(ModelError):
    """The method needs the traced graph, and this model could not be traced."""


class NoGradientError(ModelError):
    """The method needs gradients, and they are zero."""


class ImagesError(DeeptroublesError):
    """The images cannot be found, or none of them can be used."""


class UnreadableImageError(ImagesError):
    """One image cannot be decoded. An audit lists it and continues."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class EngineError(DeeptroublesError):
    """The work cannot be done where it was asked for: no cluster, or its workers die."""


class RunFolderError(DeeptroublesError):
    """The run folder cannot be read or written."""


def closest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The known names that are spelt most like `name`, the closest first; none when none is close."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return ' Did you mean a, b or c?' for the known names closest to `name`, or '' when none is close."""
    close = closest(name, (each for each in known if each != name), count)  # the refused text itself is no help
    if not close:
        return ""
    head, last = close[:-1], close[-1]
    return f" Did you mean {', '.join(head)} or {last}?" if head else f" Did you mean {last}?"
