"""The cues that an audit found, as its run folder keeps them for other audits: pictures and numbers, no code.

    tables/cues.parquet     one row per image that carries a cue: cue, class, image, its probability with and without
    cues/<name>.json        a `FoundCue`
    cues/<name>.png         the pixels of a patch; the rest is transparent

A cue's files are written before the table lists it, so that what the table lists is whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deeptroubles.errors import RunFolderError, UsageError, nearest
from deeptroubles.run.files import write_whole
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.origin import is_run
from deeptroubles.run.tables import read_table

_NAME = re.compile(r"[\w-]+")
_HOW = "give run:FOLDER, the folder of an audit with reliance.shortcut, or run:FOLDER/NAME for one of its cues"


@dataclass(frozen=True, kw_only=True)
class FoundCue:
    """A patch or a treatment that an audit found.

    Attributes:
        name: Its name: letters, digits and hyphens.
        place: Where to put a patch, as in `--cue`; '' for a treatment.
        size: The longer side of a patch as a share of the image's shorter side; 0 where it covers the whole image.
        treatment: The name of the treatment; '' for a patch.
        amount: The amount of the treatment.
        controls: Other treatments that change images as much, with their amounts.
    """

    name: str
    place: str = ""
    size: float = 0.0
    treatment: str = ""
    amount: float = 0.0
    controls: dict[str, float] = field(default_factory=dict)


_CUE: TypeAdapter[FoundCue] = TypeAdapter(FoundCue)


def write_cue(folder: RunFolder, cue: FoundCue, picture: bytes = b"") -> None:
    """Write a cue; `picture` is the PNG file of a patch. Raises RunFolderError."""
    if picture:
        write_whole(folder.path / "cues" / f"{cue.name}.png", picture)
    write_whole(folder.path / "cues" / f"{cue.name}.json", _CUE.dump_json(cue, indent=1))


def read_cues(where: str) -> list[tuple[FoundCue, Path]]:
    """Read all cues that an audit found (`FOLDER`), or one of them (`FOLDER/NAME`), with the paths of their pictures.

    Raises:
        RunFolderError: There is no run, no cue was found in it, or a file is damaged or outside the run folder.
        UsageError: The run has no cue of this name.
    """
    folder, name = Path(where), ""
    if not is_run(folder):
        folder, name = folder.parent, folder.name
    if not is_run(folder):
        raise RunFolderError(f"There is no run in {where}; {_HOW}.")
    known = _listed(folder)
    if name and name not in known:
        raise UsageError(
            f"The run in {folder} found no cue {name!r}; it found {', '.join(known)}.{nearest(name, known)}"
        )
    return [_read(folder, each) for each in ([name] if name else known)]


def _listed(folder: Path) -> list[str]:
    """The names of the cues of a run."""
    table = folder / "tables" / "cues.parquet"
    if not table.is_file():
        raise RunFolderError(f"The run in {folder} did not look for cues; audit with reliance.shortcut, or {_HOW}.")
    names = list(dict.fromkeys(str(name) for name in read_table(table, "run that audit again", ["cue"])["cue"]))
    if not names:
        raise RunFolderError(f"The audit in {folder} found no cue; {_HOW}.")
    return names


def _read(folder: Path, name: str) -> tuple[FoundCue, Path]:
    file, picture = (folder / "cues" / f"{name}.{kind}" for kind in ("json", "png"))
    inside = (folder / "cues").resolve()
    if not _NAME.fullmatch(name) or not all(path.resolve().is_relative_to(inside) for path in (file, picture)):
        raise RunFolderError(f"The cue {name!r} in {folder} is outside of its run folder; run that audit again.")
    try:
        return _CUE.validate_json(file.read_bytes()), picture
    except (OSError, ValidationError) as error:
        raise RunFolderError(f"The cue {name!r} in {folder} cannot be read; run that audit again.") from error
