"""One audit at a time in a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from deeptroubles.errors import RunFolderError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run folder for as long as the block lasts.

    The operating system holds the lock, in the file `run.lock`: it ends with its process, however that ends, so that a
    lock is never left behind. Reading the folder needs none.

    Args:
        folder: The folder; it must exist.

    Raises:
        RunFolderError: Another process, or another audit of this one, holds it; or the lock cannot be written.
    """
    lock = FileLock(folder / "run.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunFolderError(
            f"Another audit is writing to {folder}; wait until it ends, or choose another folder with --out."
        ) from None
    except OSError as error:
        raise RunFolderError(
            f"{folder} cannot be locked ({error.strerror or error}); choose another folder with --out."
        ) from error
    try:
        yield
    finally:
        lock.release()
