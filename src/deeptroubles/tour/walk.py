"""A walk along the stops: each is visited once, and the page is written after every one."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from deeptroubles.engine import code_fingerprint
from deeptroubles.memory import return_freed_memory
from deeptroubles.progress import Silent, Sink, current_sink, reporting_to, track
from deeptroubles.run.files import write_whole
from deeptroubles.tour.page import write_page
from deeptroubles.tour.plan import CHAPTERS, PlannedStop, all_stops, chapter_title, chosen_stops
from deeptroubles.tour.shared.workshop import Workshop
from deeptroubles.tour.stop import Chapter, Tour, Visited, to_json, visited_from_json

_log = logging.getLogger(__name__)
PAGE = "index.html"
"""The page's name in the folder."""


def walk(out: Path | str, only: Sequence[str] = (), *, quick: bool = False, seed: int = 0) -> Tour:
    """Visit stops and write the page after every one.

    A stop that the folder already holds, from the same version and setting, is not visited again. One that fails says
    so on the page, and is tried again next time.

    Args:
        out: The folder of the page.
        only: Names of stops; none for all.
        quick: Whether everything is kept short.
        seed: Seed of everything random.

    Raises:
        UsageError: There is no such stop.
        RunFolderError: The folder cannot be written.
    """
    folder, workshop = Path(out), Workshop(quick, seed)
    chosen = chosen_stops(only)
    known = {stop.name: _kept(folder, stop, workshop) for stop in all_stops()}
    write_page(_tour(known.values(), workshop), folder / PAGE)
    for stop in track(chosen, "Stops"):
        if known[stop.name].status != "shown":
            known[stop.name] = _visit(stop, workshop)
            if known[stop.name].status == "shown":
                write_whole(_file(folder, stop, workshop), to_json(known[stop.name]).encode())
            write_page(_tour(known.values(), workshop), folder / PAGE)
    return _tour(known.values(), workshop)


class _Bars(Silent):
    """Shows the tasks of a stop, and not the stages of audits inside of it."""

    def __init__(self, sink: Sink) -> None:
        self.progress, self.finished = sink.progress, sink.finished  # type: ignore[method-assign]


def _visit(stop: PlannedStop, workshop: Workshop) -> Visited:
    """Visit a stop; whatever goes wrong there is told on the page."""
    sink, started = current_sink(), time.monotonic()
    sink.stage(stop.name, stop.question)
    try:
        with reporting_to(_Bars(sink)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes about tiny images and few steps, which are meant here
            shown, problem = stop.function()(workshop), ""
    except Exception as error:  # noqa: BLE001 (one stop must not end the tour)
        _log.exception("The stop %s failed", stop.name)
        shown, problem = None, f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - started
    status = "failed" if shown is None else "shown"
    sink.concluded(stop.name, status, seconds)
    return_freed_memory()
    return _visited(stop, status=status, seconds=seconds, shown=shown, problem=problem)


def _kept(folder: Path, stop: PlannedStop, workshop: Workshop) -> Visited:
    """The stop as an earlier walk left it; ahead where it did not get there."""
    with suppress(OSError, ValueError):
        return visited_from_json(_file(folder, stop, workshop).read_bytes())
    return _visited(stop)


def _visited(stop: PlannedStop, **found: object) -> Visited:
    return Visited(name=stop.name, title=stop.title, question=stop.question, **found)  # type: ignore[arg-type]


def _file(folder: Path, stop: PlannedStop, workshop: Workshop) -> Path:
    """Where a stop is kept: under a name that changes with whatever decides what it shows."""
    decides = json.dumps([code_fingerprint(), stop.name, workshop.quick, workshop.seed])
    return folder / "stops" / f"{stop.name}-{hashlib.blake2b(decides.encode(), digest_size=8).hexdigest()}.json"


def _tour(stops: Iterable[Visited], workshop: Workshop) -> Tour:
    places = {stop.name: stop.chapter for stop in all_stops()}
    found = list(stops)
    chapters = [
        Chapter(title=chapter_title(chapter), stops=[stop for stop in found if places[stop.name] == chapter])
        for chapter in CHAPTERS
    ]
    return Tour(chapters=chapters, quick=workshop.quick, seed=workshop.seed, version=metadata.version("deeptroubles"))
