from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from deeptroubles.report.figure import _overlays, _wrapped, draw_heatmap, draw_sheet

PICTURE = np.full((96, 128, 3), 128, dtype=np.uint8)


def draw(values: NDArray[np.float64], path: Path, title: str = "chelsea.png, $0_1^2") -> NDArray[np.uint8]:
    draw_heatmap(PICTURE, values, title, "Change of the log-odds", path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def shares(drawing: NDArray[np.uint8]) -> tuple[float, float, float]:
    """The shares of the figure that are bluish, reddish and yellowish."""
    red, green, blue = drawing.astype(int).transpose(2, 0, 1)
    yellow = np.mean((green - blue > 60) & (red - blue > 60) & (abs(red - green) < 60))
    return float(np.mean(blue - red > 30)), float(np.mean((red - blue > 30) & (red - green > 25))), float(yellow)


def test_signed_values_get_a_scale_centered_on_zero(tmp_path: Path) -> None:
    values = np.linspace(-1, 2, 49).reshape(7, 7)
    blue, orange, _ = shares(draw(values, tmp_path / "heat.png"))
    assert orange > 0.05
    assert blue > 0.01
    blue, orange, _ = shares(draw(np.zeros((7, 7)) - 1e-12 * np.eye(7), tmp_path / "nothing.png"))
    assert blue + orange > 0  # the color bar still shows both ends


def test_values_without_a_sign_get_a_sequential_scale(tmp_path: Path) -> None:
    _, _, yellow = shares(draw(np.linspace(0, 1, 49).reshape(7, 7), tmp_path / "heat.png"))
    assert yellow > 0.005


@pytest.mark.parametrize("value", [0.0, np.nan, 3.0])
def test_flat_and_unmeasured_maps_are_drawn(tmp_path: Path, value: float) -> None:
    draw(np.full((3, 5), value), tmp_path / "flat.png", title="")


def test_the_file_is_replaced_and_no_other_file_is_left(tmp_path: Path) -> None:
    path = tmp_path / "heat.png"
    path.write_text("old")
    draw(np.eye(4), path)
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_call_gives_the_same_bytes(tmp_path: Path) -> None:
    draw(np.eye(4), tmp_path / "a.png")
    draw(np.eye(4), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_maps_of_several_pictures_share_one_scale() -> None:
    figure = Figure()
    panels = figure.subplots(1, 2)
    maps = np.stack([np.full((4, 4), 0.1), np.linspace(0, 1, 16).reshape(4, 4)])
    _overlays(panels, np.stack([PICTURE, PICTURE]), maps)
    first, second = (axes.images[1].get_clim() for axes in panels)
    assert first == second
    assert first[1] > 0.9


def test_no_caption_is_cut() -> None:
    title = "a very long name of a class that no panel is wide enough for, with $money$"
    assert " ".join(_wrapped(title, 2.2, 9).split("\n")).replace("\\$", "$") == title
    assert max(map(len, _wrapped(title, 2.2, 9).split("\n"))) < 32


def test_a_sheet_of_several_pictures_and_methods(tmp_path: Path) -> None:
    maps = {f"method {i}": np.random.default_rng(i).normal(size=(2, 4, 5)) * 10.0**i for i in range(6)}
    draw_sheet(np.stack([PICTURE, PICTURE]), maps, ["cat", "dog"], tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 1000
