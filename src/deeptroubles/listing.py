"""The checks or methods in a folder, read from source, so that listing them does not import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent
SHARED = "shared"
"""Folders of this name hold helpers of the files next to them."""


def modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files below a folder, in order. `name.py` and `name/name.py` are both called `name`."""
    for path in sorted(folder.iterdir(), key=lambda path: path.stem):
        file = path / f"{path.name}.py" if path.is_dir() else path
        if file.suffix == ".py" and file.is_file() and path.stem not in {"__init__", SHARED}:
            yield path.stem, file


def docstring(file: Path) -> str | None:
    """The docstring of the function with the name of its file; None if there is no such function."""
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.FunctionDef) and node.name == file.stem:
            return ast.get_docstring(node) or ""
    return None


def module_name(file: Path) -> str:
    """The dotted name of a file of this package."""
    return ".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts))
