"""Write a file in one step: a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from deeptroubles.errors import RunFolderError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there.

    Args:
        path: Where the file goes. Its folder must exist.
        content: What is in it.

    Raises:
        RunFolderError: The file cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.chmod(0o644)  # Temporary files are private; a report is for showing around.
        os.replace(temporary, path)  # noqa: PTH105 (the atomic one)
    except OSError as error:
        if temporary:
            temporary.unlink(missing_ok=True)
        raise RunFolderError(f"Cannot write {path}: {error.strerror or error}.") from error
