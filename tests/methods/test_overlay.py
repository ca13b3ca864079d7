"""Overlays, what they are drawn from, and how cues are named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from deeptroubles import ImageSet
from deeptroubles.errors import UsageError
from deeptroubles.methods.transforms.shared.find_overlay import find_overlay
from deeptroubles.methods.transforms.shared.lettering import lettering
from deeptroubles.methods.transforms.shared.named_cue import CAST, drawn_cue, fit_cues, named_cue
from deeptroubles.methods.transforms.shared.overlay import PLACES, Overlay, control, lay, positioned
from deeptroubles.methods.transforms.watermark import COVER, watermark

SIZE = (40, 60)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_an_overlay_hides_shows_and_mixes():
    images, color = noise(2, 3, 4, 6), noise(1, 3, 4, 6, seed=1)
    cover = torch.zeros(1, 1, 4, 6)
    cover[..., 2:4], cover[..., 4:] = 0.25, 1
    laid = lay(images, Overlay(color, cover))
    assert torch.equal(laid[..., :2], images[..., :2])
    assert torch.allclose(laid[..., 2:4], 0.75 * images[..., 2:4] + 0.25 * color[..., 2:4])
    assert torch.equal(laid[..., 4:], color.expand(2, -1, -1, -1)[..., 4:])


@pytest.mark.parametrize("place", PLACES)
def test_a_piece_stands_where_its_place_says_and_keeps_a_margin(place):
    overlay = positioned(torch.ones(4, 8, 12), SIZE, place)
    rows, columns = (overlay.cover[0, 0].any(dim).nonzero()[:, 0] for dim in (1, 0))
    assert (len(rows), len(columns)) == (8, 12)
    middle = ("top" in place, "bottom" in place, "left" in place, "right" in place)
    top, left = int(rows[0]), int(columns[0])
    assert top == (1 if middle[0] else 31 if middle[1] else 16)
    assert left == (1 if middle[2] else 47 if middle[3] else 24)


def test_a_piece_that_is_too_large_is_cut_off():
    overlay = positioned(noise(4, 50, 70), SIZE, "bottom-right")
    assert overlay.color.shape == (1, 3, *SIZE)


@given(seed=st.integers(0, 99), number=st.integers(1, 6), height=st.integers(1, 30), width=st.integers(1, 40))
@settings(deadline=None, max_examples=40)
def test_a_control_has_the_same_pixels_in_another_order(seed, number, height, width):
    overlay = positioned(noise(4, height, width, seed=seed).clamp_min(0.01), SIZE, "bottom")
    other = control(overlay, number, seed)
    box = overlay.cover[0, 0] > 0
    assert torch.equal(other.cover[0, 0] > 0, box)
    assert torch.equal(other.cover[0, 0][box].sort().values, overlay.cover[0, 0][box].sort().values)
    color = 1 - other.color if number % 2 else other.color
    for channel in range(3):
        before, after = overlay.color[0, channel][box], color[0, (channel + number) % 3][box]
        assert torch.allclose(before.sort().values, after.sort().values, atol=1e-6)


def test_controls_of_one_color_have_another_color():
    overlay = positioned(torch.tensor([0.9, 0.2, 0.1, 1.0]).view(4, 1, 1).expand(4, 6, 6), SIZE, "top")
    box = overlay.cover[0, 0] > 0
    colors = [overlay.color] + [control(overlay, number, 0).color for number in range(1, 6)]
    seen = torch.stack([color[0][:, box].mean(1) for color in colors])
    assert (torch.cdist(seen, seen) + torch.eye(6) > 0.3).all()


def test_an_empty_overlay_has_an_empty_control():
    empty = Overlay(torch.zeros(2, 3, 5, 5), torch.zeros(2, 1, 5, 5))
    assert not control(empty, 1, 0).cover.any()


@pytest.mark.parametrize("size", [(224, 224), (64, 96)])
def test_the_watermark_is_six_characters_in_a_row_of_two_kinds(size):
    white, cover = watermark(size)
    assert (white == 1).all()
    assert 0.4 * COVER < float(cover.max()) <= COVER  # strokes can be thinner than a pixel
    rows = cover.any(1).nonzero()[:, 0]
    assert rows[0] >= 0.5 * size[0] - size[1] * 18 / 224 - 1
    assert rows[-1] <= 0.5 * size[0] + size[1] * 18 / 224 + 1
    if size[1] == 224:
        sheets = cover[:, 4:220].unflatten(1, (6, 36)).unbind(1)
        assert torch.allclose(sheets[0], sheets[2], atol=1e-6)
        assert torch.allclose(sheets[1], sheets[5], atol=1e-6)
        assert not torch.allclose(sheets[0], sheets[1], atol=0.1)
        assert 0.1 < (sheets[0][94:130] > 0).float().mean() < 0.6


def test_letters_are_white_with_a_dark_outline_and_fit():
    letters, cover = lettering("© horses.example", (224, 224))
    assert letters.shape[0] < 30
    assert letters.shape[1] < 0.9 * 224 + 1
    assert letters[cover > 0.99].max() == 1
    assert letters[cover > 0.99].min() == 0
    long = lettering("a line of text that is far too long for an image of this size", (64, 64))
    assert long.shape[2] <= 0.9 * 64 + 1
    assert not torch.equal(lettering("ab", (64, 64)), lettering("ba", (64, 64)))


def test_an_overlay_is_found_where_it_is_and_nowhere_else():
    images = noise(4, 3, *SIZE)
    piece = torch.cat([noise(3, 7, 9, seed=5), torch.ones(1, 7, 9)])
    piece[3, 0, 0] = 0  # a hole through which anything may show
    images[0, :, 5:12, 20:29] = torch.where(piece[3] > 0, piece[:3], images[0, :, 5:12, 20:29])
    images[2, :, -7:, -9:] = (piece[:3] + 0.04).clamp(0, 1)
    found = find_overlay(images, positioned(piece, SIZE, "bottom-left"))
    expected = torch.zeros(4, *SIZE, dtype=torch.bool)
    expected[0, 5:12, 20:29] = expected[2, -7:, -9:] = piece[3] > 0
    assert torch.equal(found, expected)


def test_the_best_place_is_the_one_that_a_slow_search_finds():
    images, piece = noise(1, 3, 14, 17), torch.cat([noise(3, 4, 5, seed=3), torch.ones(1, 4, 5)])
    images[0, :, 3:7, 8:13] = piece[:3] * 0.98
    overlay = positioned(piece, (14, 17), "left")
    errors = {
        (y, x): float((images[0, :, y : y + 4, x : x + 5] - piece[:3]).square().mean())
        for y in range(11)
        for x in range(13)
    }
    y, x = min(errors, key=errors.get)
    assert find_overlay(images, overlay)[0].nonzero()[0].tolist() == [y, x] == [3, 8]


def test_what_is_nowhere_opaque_is_not_found():
    assert not find_overlay(
        torch.ones(1, 1, 5, 5), Overlay(torch.ones(1, 1, 5, 5), torch.full((1, 1, 5, 5), 0.5))
    ).any()


@pytest.fixture
def cut_out(tmp_path):
    """Red, half of it transparent, 20 x 10."""
    pixels = np.zeros((10, 20, 4), dtype=np.uint8)
    pixels[:, :10] = (255, 0, 0, 255)
    path = tmp_path / "tag.png"
    Image.fromarray(pixels).save(path)
    return path


def test_a_cut_out_keeps_its_proportions_and_its_transparency(cut_out):
    overlay = drawn_cue(named_cue(f"{cut_out}@top-left"), (60, 60), 3)
    solid = overlay.cover[0, 0] > 0.5
    assert solid.sum() == 100  # scaled to 20 x 10
    assert solid[2:12, 2:12].all()
    assert torch.equal(overlay.color[0][:, solid].mean(1), torch.tensor([1.0, 0.0, 0.0]))
    gray = drawn_cue(named_cue(f"{cut_out}@top-left"), (60, 60), 1)
    assert torch.allclose(gray.color[0, 0][solid], torch.tensor(0.299))
    whole = drawn_cue(named_cue(f"{cut_out}@everywhere"), (60, 80), 3)
    assert torch.equal(whole.cover[0, 0], (torch.arange(80) < 40).float().expand(60, 80))
    assert named_cue(str(cut_out)).place == "bottom-left"


def test_what_cues_are_drawn_like(cut_out):
    color = drawn_cue(named_cue("color:#ff8000"), (8, 8), 3)
    assert torch.allclose(color.color[0, :, 0, 0], torch.tensor([1, 128 / 255, 0]))
    assert (color.cover == CAST).all()
    text = named_cue("text:me@example.org@top")
    assert (text.content, text.place) == ("me@example.org", "top")
    assert named_cue("text:me@example.org").content == "me@example.org"
    assert drawn_cue(text, (64, 64), 1).color.shape == (1, 1, 64, 64)
    assert drawn_cue(named_cue("watermark"), (64, 64), 3).color.shape == (1, 3, 64, 64)


def test_a_cue_has_the_size_that_is_given(cut_out):
    large = drawn_cue(named_cue(f"{cut_out}@top-left:0.5"), (60, 80), 3).cover[0, 0] > 0.5
    assert (large.any(0).sum(), large.any(1).sum()) == (15, 15)  # 30 x 15, half of it transparent
    heights = [
        int((drawn_cue(named_cue(f"text:E{where}"), (120, 120), 1).cover[0, 0] > 0.5).any(1).sum())
        for where in ("", "@top:0.0834", "@top:0.25", "@top:0.5")
    ]
    assert heights[0] == heights[1]
    assert heights[2] == pytest.approx(3 * heights[0], abs=3)
    assert heights[3] == pytest.approx(6 * heights[0], abs=4)
    sized = named_cue("text:me@example.org@bottom-left:0.2")
    assert (sized.content, sized.place, sized.size) == ("me@example.org", "bottom-left", 0.2)
    assert sized.words == "the text “me@example.org” at the bottom left (size 0.2)"
    assert named_cue("text:at 10:30").content == "at 10:30"


def test_a_folder_of_cues_is_one_cue_for_each_picture(cut_out):
    Image.open(cut_out).rotate(90).save(cut_out.parent / "another.png")
    (cut_out.parent / "notes.txt").write_text("no cue")
    images = ImageSet.from_arrays(np.zeros((1, 4, 4), np.uint8))
    folder = str(cut_out.parent)
    for where, place, size in ((folder, "bottom-left", 1 / 3), (f"{folder}@top:0.2", "top", 0.2)):
        cues = fit_cues([where, "watermark"], images)
        assert [cue.kind for cue in cues] == ["cut-out", "cut-out", "watermark"]
        assert [cue.words.split()[2] for cue in cues[:2]] == ["another.png", "tag.png"]
        assert {(cue.place, cue.size) for cue in cues[:2]} == {(place, size)}


def test_an_empty_folder_of_cues_is_told(tmp_path):
    with pytest.raises(UsageError, match="folder without image files"):
        fit_cues([str(tmp_path)], ImageSet.from_arrays(np.zeros((1, 4, 4), np.uint8)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("text:hello@top:big", "'big' is not the size of a cue; give a share"),
        ("text:hello@top:0", "'0' is not the size"),
        ("text:hello@top:1.5", "'1.5' is not the size"),
        ("nowhere.png@everywhere:0.5", "has no size"),
        ("nowhere.png", "is not a file; a cue is watermark"),
        ("nowhere.png@botom", "no place 'botom'. Did you mean bottom"),
        ("text:hello@botom-left", "no place 'botom-left'"),
        ("text: ", "at least one letter"),
        ("text:\u6377", "has no '\u6377'"),
        ("color:orangish", "is not a color; write it like"),
        ("column:photografer", r"no column 'photografer' \(they have photographer\).*Did you mean photographer"),
        ("mask", "column `cue_mask`"),
    ],
)
def test_cues_that_cannot_be_used_are_told(text, says):
    images = ImageSet.from_arrays(np.zeros((1, 4, 4), np.uint8), columns={"photographer": ["x"]})
    with pytest.raises(UsageError, match=says):
        fit_cues(["watermark", text], images)


def test_files_that_show_nothing_are_told(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGBA", (4, 4), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    for name, says in (("text.png", "cannot be read as a picture"), ("clear.png", "fully transparent")):
        with pytest.raises(UsageError, match=says):
            named_cue(str(tmp_path / name))
