"""All methods that a person can use: which there are, what each shows, and what it can be told."""

from __future__ import annotations

from pathlib import Path

from deeptroubles.listing import docstring, modules

FAMILIES = ("attribution", "attacks", "transforms", "units")
HERE = Path(__file__).parent


def method_docstrings() -> dict[str, str]:
    """The docstring of every method by its name, read without importing any."""
    files = [(name, file) for family in FAMILIES for name, file in modules(HERE / family)]
    return {name: text for name, file in files if (text := docstring(file)) is not None}
