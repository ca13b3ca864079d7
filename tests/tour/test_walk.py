"""The walk along the stops: choosing, keeping, failing, and the page that is written."""

import json
import re
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from deeptroubles.cli import app
from deeptroubles.errors import UsageError
from deeptroubles.listing import modules
from deeptroubles.tour import plan, walk
from deeptroubles.tour.shared.drawing import grid, over_pictures
from deeptroubles.tour.stop import Number, Shown, Visited, to_json, visited_from_json


def shown(label="Share", value=0.5):
    pictures = [
        grid("Pictures", torch.rand(2, 3, 8, 8), ["a cat", "a dog"]),
        over_pictures(
            "Maps", torch.tensor([[[-1.0, torch.nan], [0.5, 2.0]]]), torch.rand(1, 1, 8, 8), ["one"], "logit"
        ),
    ]
    numbers = [Number(label=label, value=value, low=0.2), Number(label="few", value=9, high=3, unit="number")]
    return Shown(see=["Look."], numbers=numbers, pictures=pictures, commands=["deeptroubles --help"], tries=["More."])


@dataclass
class FakeStop:
    name: str
    error: BaseException | None = None
    visits: list = field(default_factory=list)
    chapter: str = "reasons"
    title: str = "A title"
    question: str = "Is it so?"

    def function(self):
        return self.visit

    def visit(self, workshop):
        self.visits.append(workshop)
        if self.error:
            raise self.error
        return shown()


@pytest.fixture
def stops(monkeypatch):
    found = [FakeStop("one"), FakeStop("two"), FakeStop("three")]
    for module in (plan, walk):
        monkeypatch.setattr(module, "all_stops", lambda: found)
    return found


def page(folder):
    text = (folder / "index.html").read_text(encoding="utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="tour">(.*?)</script>', text)[1])


def statuses(document):
    return {stop["name"]: stop["status"] for chapter in document["chapters"] for stop in chapter["stops"]}


def test_every_stop_is_visited_once_and_kept(stops, tmp_path):
    first = walk.walk(tmp_path, quick=True)
    again = walk.walk(tmp_path, quick=True)
    assert [len(stop.visits) for stop in stops] == [1, 1, 1]
    assert [stop.shown.numbers for stop in again.stops] == [stop.shown.numbers for stop in first.stops]
    assert statuses(page(tmp_path)[1]) == {"one": "shown", "two": "shown", "three": "shown"}


@pytest.mark.parametrize("changed", [{"quick": False, "seed": 0}, {"quick": True, "seed": 1}])
def test_another_setting_is_visited_anew(stops, tmp_path, changed):
    walk.walk(tmp_path, ["one"], quick=True)
    walk.walk(tmp_path, ["one"], **changed)
    assert len(stops[0].visits) == 2


def test_a_changed_package_is_visited_anew(stops, tmp_path, monkeypatch):
    walk.walk(tmp_path, ["one"])
    monkeypatch.setattr(walk, "code_fingerprint", lambda: "another version")
    walk.walk(tmp_path, ["one"])
    assert len(stops[0].visits) == 2


def test_only_the_named_stops_are_visited_and_the_others_stay_on_the_page(stops, tmp_path):
    walk.walk(tmp_path, ["two"])
    assert statuses(page(tmp_path)[1]) == {"one": "ahead", "two": "shown", "three": "ahead"}
    walk.walk(tmp_path, ["three"])
    assert [len(stop.visits) for stop in stops] == [0, 1, 1]
    assert statuses(page(tmp_path)[1]) == {"one": "ahead", "two": "shown", "three": "shown"}


def test_a_stop_that_fails_is_told_and_the_walk_goes_on(stops, tmp_path):
    stops[1].error = ValueError("no such <layer>")
    walk.walk(tmp_path)
    text, document = page(tmp_path)
    assert statuses(document) == {"one": "shown", "two": "failed", "three": "shown"}
    failed = document["chapters"][0]["stops"][1]
    assert failed["problem"] == "ValueError: no such <layer>"
    assert failed["shown"] is None
    assert "<layer>" not in text
    stops[1].error = None
    walk.walk(tmp_path)
    assert [len(stop.visits) for stop in stops] == [1, 2, 1]
    assert statuses(page(tmp_path)[1])["two"] == "shown"


def test_an_interrupted_walk_leaves_a_page_of_what_is_done_and_goes_on_there(stops, tmp_path):
    stops[1].error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        walk.walk(tmp_path)
    assert statuses(page(tmp_path)[1]) == {"one": "shown", "two": "ahead", "three": "ahead"}
    stops[1].error = None
    walk.walk(tmp_path)
    assert [len(stop.visits) for stop in stops] == [1, 2, 1]


def test_a_damaged_file_of_a_stop_counts_as_absent(stops, tmp_path):
    walk.walk(tmp_path, ["one"])
    next((tmp_path / "stops").iterdir()).write_bytes(b'{"name": "one"')
    walk.walk(tmp_path, ["one"])
    assert len(stops[0].visits) == 2


def test_stops_share_what_one_of_them_made(stops, tmp_path):
    made = []
    walk.walk(tmp_path)
    for stop in stops:
        stop.visits[0].once("network", lambda: made.append(1))
    assert made == [1]


def test_the_page_can_make_no_request_and_every_picture_has_a_description(stops, tmp_path):
    walk.walk(tmp_path)
    text, document = page(tmp_path)
    assert "default-src 'none'" in text
    assert not re.search(r"""<(script|link|img)[^>]*(src|href)=["'](?!data:)""", text)
    pictures = [p for c in document["chapters"] for s in c["stops"] for p in s["shown"]["pictures"]]
    items = [item for picture in pictures for item in picture["items"]]
    assert len(items) == 9
    assert all(item["picture"]["alt"] and item["picture"]["src"].startswith("data:") for item in items)


def test_an_unknown_stop_is_named_with_the_nearest():
    with pytest.raises(UsageError, match="horse_tag"):
        plan.chosen_stops(["horse_tags"])


def test_every_stop_has_a_title_and_a_question():
    stops = plan.all_stops()
    assert len(stops) >= 24
    assert len({stop.name for stop in stops}) == len(stops)
    for stop in stops:
        assert stop.title
        assert not stop.title.endswith(".")
        assert stop.question.endswith("?")
    assert all(plan.chapter_title(chapter).endswith("?") for chapter in plan.CHAPTERS)


def test_every_file_is_a_stop_of_the_page():
    files = {(chapter, name) for chapter in plan.CHAPTERS for name, _ in modules(plan.HERE / chapter)}
    assert {(stop.chapter, stop.name) for stop in plan.all_stops()} == files


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(None, None, True), (0.5, None, True), (None, 0.4, False), (0.6, 0.9, False), (0.5, 0.5, True)],
)
def test_a_number_is_as_expected_within_its_limits(low, high, expected):
    assert Number(label="n", value=0.5, low=low, high=high).as_expected is expected


def test_a_stop_survives_writing_and_reading():
    visited = Visited(name="one", title="One", question="So?", status="shown", seconds=1.5, shown=shown())
    again = visited_from_json(to_json(visited).encode())
    assert again.shown.numbers == visited.shown.numbers
    assert again.shown.pictures[1].items[0].values == [[-1.0, None], [0.5, 2.0]]
    assert to_json(again) == to_json(visited)


def test_the_command_says_what_came_out(stops, tmp_path):
    done = CliRunner().invoke(app, ["tour", "--out", str(tmp_path), "--only", "one", "--quick"])
    assert done.exit_code == 0
    assert "1 of 3 stops; 1 of 2 numbers as expected" in done.output
    assert (tmp_path / "index.html").is_file()


def test_the_command_fails_where_a_stop_did(stops, tmp_path):
    stops[0].error = RuntimeError("out of luck")
    done = CliRunner().invoke(app, ["tour", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "one failed: RuntimeError: out of luck" in done.output


def test_maps_share_a_scale_that_is_centered_where_values_are_signed():
    maps = over_pictures(
        "Maps", [np.array([[-1.0, 2.0]]), np.array([[0.0, 1.0]])], torch.rand(2, 3, 4, 4), ["a", "b"], "x"
    )
    assert maps.diverging
    assert maps.low == -maps.high
    assert over_pictures("Maps", [np.array([[0.0, 2.0]])], torch.rand(1, 3, 4, 4), ["a"], "x").diverging is False
