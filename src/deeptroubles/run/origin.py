"""Where a run's model and images came from, as they were named on the command line, so that it can be opened again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deeptroubles.run.files import write_whole


@dataclass(frozen=True)
class Origin:
    """What was named.

    Attributes:
        model: The model's source, such as `timm:resnet50`.
        images: The images, such as a folder.
        seed: Seed of the run.
        model_options: The options that say how the model takes its images, by name, as they were typed.
        images_options: The options that say how the images are read.
    """

    model: str
    images: str
    seed: int = 0
    model_options: Mapping[str, str | int | None] = field(default_factory=dict)
    images_options: Mapping[str, str | None] = field(default_factory=dict)


_ORIGIN: TypeAdapter[Origin] = TypeAdapter(Origin)
_FILE = "origin.json"
MARKER = "run.json"
"""The file that makes a folder a run: it says what the run is about."""


def is_run(path: Path) -> bool:
    """Whether a folder holds a run; False for a path that the system refuses, such as one that is too long."""
    try:
        return (path / MARKER).is_file()
    except OSError:
        return False


def write_origin(folder: Path, origin: Origin) -> None:
    """Keep an origin in a run folder, if it is one. Raises RunFolderError where it cannot be written."""
    if is_run(folder):
        write_whole(folder / _FILE, json.dumps(asdict(origin), indent=1).encode())


def read_origin(folder: Path) -> Origin | None:
    """The origin of a run, None where none was kept or it is damaged."""
    try:
        return _ORIGIN.validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError):
        return None
