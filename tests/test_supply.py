"""Every package that is needed at run time is in the table of licences, at the version that is pinned."""

from __future__ import annotations

import importlib.util
import re
from itertools import chain
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("licenses", ROOT / "scripts" / "licenses.py")
licenses = importlib.util.module_from_spec(spec)
spec.loader.exec_module(licenses)


@pytest.fixture(scope="module")
def rows():
    text = (ROOT / "docs" / "supply.md").read_text(encoding="utf-8")
    table = text.split(licenses.START)[1].split(licenses.END)[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {canonicalize_name(name): (version, said, by) for name, version, said, by in cells}


def test_every_package_that_is_needed_is_in_the_table(rows):
    missing = licenses.needed() - rows.keys()
    assert not missing, "run python scripts/licenses.py"


def test_no_licence_is_unknown_and_none_forbids_use(rows):
    assert all(said and said != licenses.UNKNOWN for _, said, _ in rows.values())
    for name in licenses.needed():
        assert licenses.license_of(name) == rows[name][1]
    copyleft = re.compile(r"\b(AGPL|GPL|Affero)")
    assert not [name for name, (_, said, _) in rows.items() if copyleft.search(said)]


def test_versions_are_the_pinned_ones(rows):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    pinned = {canonicalize_name(name): version.partition("+")[0] for name, version in pinned.items()}
    pip_brings = {"setuptools"}
    assert {name: version for name, (version, _, _) in rows.items() if name not in pip_brings} == {
        name: pinned[name] for name in rows if name not in pip_brings
    }


def test_every_dependency_that_is_declared_is_in_the_table(rows):
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {canonicalize_name(re.split(r"[<>=\[; ]", text)[0]) for text in declared}
    assert names <= rows.keys()
