"""Write a file in one step: a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import tempfile
import time
from pathlib import Path

from deeptroubles.errors import RunFolderError

_ATTEMPTS, _PAUSE = 10, 0.05
"""How often a file that is being read is replaced again, and the seconds between two attempts."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there.

    Args:
        path: Where the file goes. Its folder is made when it does not exist.
        content: What is in it.

    Raises:
        RunFolderError: The file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o644)  # Temporary files are private; a report is for showing around.
        _move(temporary, path)
    except BaseException as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise RunFolderError(cannot_write(path, error)) from error
        raise


def _move(source: Path, target: Path) -> None:
    """Replace a file in one step. On some systems a reader keeps it from being replaced for a moment."""
    for attempt in range(_ATTEMPTS):
        try:
            os.replace(source, target)  # noqa: PTH105 (the atomic one)
        except PermissionError:
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE)
        else:
            return


def cannot_write(path: Path, error: OSError) -> str:
    """Say why a file cannot be written, and what to do."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"The disk is full: {path} cannot be written; free some space and run the same command again."
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return f"{path} cannot be written (permission denied); choose another place with --out."
    return f"{path} cannot be written ({error.strerror or error}); choose another place with --out."
