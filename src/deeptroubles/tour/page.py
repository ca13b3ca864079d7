"""The page of a tour: one HTML file that opens from disk and can make no request."""

from __future__ import annotations

import json
from pathlib import Path

from deeptroubles.report import page_with
from deeptroubles.run.files import write_whole
from deeptroubles.tour.stop import Tour, to_json


def write_page(tour: Tour, path: Path) -> None:
    """Write the page; a reader sees the old one or the new one, never half of one.

    Raises:
        RunFolderError: The page was not built when the package was installed, or the file cannot be written.
    """
    title = "Deep troubles: a tour of what can be wrong with an image classifier"
    write_whole(path, page_with("tour", json.loads(to_json(tour)), title).encode())
