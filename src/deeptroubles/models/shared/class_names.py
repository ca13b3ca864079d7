"""Class names from a file."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

from deeptroubles.errors import UsageError


def load_class_names(path: str | PathLike[str]) -> list[str]:
    """Read class names, in the order of the model's outputs.

    Args:
        path: A text file with one name per line, or a JSON file (`.json`) with a list of names or with a dictionary
            from the index of each output to its name.

    Raises:
        UsageError: The file is missing or holds something else.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        names = _from_json(json.loads(text)) if path.suffix.lower() == ".json" else text.splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"The class names in {path} cannot be read: {error}.") from error
    names = [name.strip() for name in names]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise UsageError(f"{path} holds no class names; give one per output of the model.")
    if "" in names:
        raise UsageError(f"{path} has no class name in line {names.index('') + 1}; give one per output of the model.")
    return names


def _from_json(content: Any) -> list[str]:
    if isinstance(content, dict):
        by_index = {int(index): name for index, name in content.items()}
        if sorted(by_index) != list(range(len(by_index))):
            raise ValueError("the dictionary must have the indices 0, 1, 2, ... without gaps")
        content = [by_index[index] for index in range(len(by_index))]
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise ValueError("it must be a list of names, or a dictionary from index to name")
    return content
