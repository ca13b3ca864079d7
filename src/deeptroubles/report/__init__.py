"""An audit, or a tour, as one HTML file that opens from disk, needs no network and can make no request.

The page itself is built from `frontend/` into `bundle.html` (see `hatch_build.py`); here an audit is written into it.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from deeptroubles.errors import RunFolderError
from deeptroubles.findings import Audit, audit_to_json
from deeptroubles.run.files import write_whole

BUNDLE = Path(__file__).with_name("bundle.html")
_HEAD = "<!--deeptroubles:head-->"
_DATA = "<!--deeptroubles:audit-->"

# Whatever text an audit carries, the page can neither load anything nor send anything anywhere.
_POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)

# In a script element only these characters can end it, open a comment, or break a line in older parsers.
_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def render(audit: Audit) -> str:
    """Write an audit as one HTML page.

    Args:
        audit: What was found. Its pictures must be data URIs: the page cannot load files beside it.

    Returns:
        The whole page.

    Raises:
        RunFolderError: The page was not built when the package was installed.
    """
    title = f"{audit.model.name}: right for the right reasons? (deeptroubles)"
    return page_with("audit", json.loads(audit_to_json(audit)), title)


def page_with(kind: str, data: Any, title: str) -> str:
    """The page with what it shows written into it.

    Args:
        kind: What it shows: `audit` or `tour`.
        data: That which is shown, as JSON can hold it.
        title: Title of the page.

    Raises:
        RunFolderError: The page was not built when the package was installed.
    """
    try:
        bundle = BUNDLE.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(
            "The report page is missing from this installation: run `make setup` in a checkout, "
            "or reinstall deeptroubles."
        ) from None
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    head = f"{policy}\n    <title>{html.escape(title)}</title>"
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)
    before, _, rest = bundle.partition(_HEAD)
    between, _, after = rest.partition(_DATA)
    return f'{before}{head}{between}<script type="application/json" id="{kind}">{text}</script>{after}'


def write_report(audit: Audit, path: Path) -> None:
    """Write an audit as one HTML file; a reader sees the old file or the new one, never half of one.

    Args:
        audit: What was found, with pictures as data URIs.
        path: Where the file goes. Its folder must exist.

    Raises:
        RunFolderError: The page was not built, or the file cannot be written.
    """
    write_whole(path, render(audit).encode())
