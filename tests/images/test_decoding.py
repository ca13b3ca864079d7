"""Every kind of picture becomes 8-bit gray or RGB, and every damaged one a sentence."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from deeptroubles.errors import UnreadableImageError
from deeptroubles.images.decoding import MOST_JPEG_PIXELS, MOST_PIXELS, decode, gps_position, is_image_name
from deeptroubles.images.depth import ValueRange


def saved(picture, path, **options):
    picture.save(path, **options)
    return path


def pixels(path):
    return np.asarray(decode(path, path.name))


def reason(stored):
    with pytest.raises(UnreadableImageError) as caught:
        decode(stored, "x.jpg")
    assert caught.value.path == "x.jpg"
    return caught.value.reason


@pytest.fixture
def gradient():
    """Red grows to the right, green downwards, blue is constant: no two corners look alike."""
    y, x = np.mgrid[0:48, 0:64]
    return Image.fromarray(np.stack([x * 4, y * 5, np.full_like(x, 90)], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp", "ppm", "tga"])
def test_rgb_is_kept_as_it_is(tmp_path, gradient, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(gradient, tmp_path / f"a.{suffix}", **options)
    assert np.array_equal(pixels(path), np.asarray(gradient))


def test_names_with_spaces_and_letters_of_any_script(tmp_path, gradient):
    path = saved(gradient, tmp_path / "größe 写真 (1).png")
    assert decode(path, path.name).size == gradient.size


def test_bytes_and_arrays_decode_like_files(tmp_path, gradient):
    path = saved(gradient, tmp_path / "a.png")
    assert np.array_equal(np.asarray(decode(path.read_bytes(), "a")), np.asarray(gradient))
    assert np.array_equal(np.asarray(decode(np.asarray(gradient), "a")), np.asarray(gradient))


def test_gray_stays_gray(tmp_path, gradient):
    picture = decode(saved(gradient.convert("L"), tmp_path / "a.jpg"), "a")
    assert (picture.mode, picture.size) == ("L", gradient.size)


def test_one_bit_becomes_black_and_white(tmp_path):
    path = saved(Image.fromarray(np.array([[True, False]])), tmp_path / "a.png")
    assert pixels(path).tolist() == [[255, 0]]


def test_palette(tmp_path, gradient):
    picture = decode(saved(gradient.quantize(8), tmp_path / "a.png"), "a")
    assert picture.mode == "RGB"
    assert len(set(picture.get_flattened_data() if hasattr(picture, "get_flattened_data") else picture.getdata())) <= 8


def test_transparent_pixels_are_white(tmp_path):
    picture = Image.new("RGBA", (3, 1), (10, 20, 30, 0))
    picture.putpixel((1, 0), (10, 20, 30, 255))
    picture.putpixel((2, 0), (0, 0, 0, 128))
    assert pixels(saved(picture, tmp_path / "a.png")).tolist() == [[[255] * 3, [10, 20, 30], [127] * 3]]
    assert pixels(saved(picture.convert("LA"), tmp_path / "la.png")).tolist() == [[255, 18, 127]]


def test_transparent_palette_entries_and_colors_are_white(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    expected = [[[255, 255, 255], [40, 50, 60]]]
    assert pixels(saved(palette, tmp_path / "p.png", transparency=0)).tolist() == expected
    assert pixels(saved(palette, tmp_path / "b.png", transparency=b"\0\xff")).tolist() == expected
    assert pixels(saved(palette.convert("RGB"), tmp_path / "c.png", transparency=(10, 20, 30))).tolist() == expected


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_over_their_whole_range(tmp_path, suffix):
    values = np.array([[0, 257, 257 * 100 + 100, 257 * 100 + 200, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / f"a.{suffix}")
    assert pixels(path).tolist() == [[0, 1, 100, 101, 255]]


def test_a_dark_16_bit_image_stays_dark_in_the_range_of_its_set(tmp_path):
    path = saved(Image.fromarray(np.full((2, 2), 514, dtype=np.uint16)), tmp_path / "a.png")
    assert (np.asarray(decode(path, "a", ValueRange(0, 65535))) == 2).all()


def test_32_bit_integers(tmp_path):
    within = np.array([[0, 65535]], dtype=np.int32)
    assert pixels(saved(Image.fromarray(within), tmp_path / "a.tif")).tolist() == [[0, 255]]
    beyond = np.array([[-100_000, 0, 100_000]], dtype=np.int32)
    assert pixels(saved(Image.fromarray(beyond), tmp_path / "b.tif")).tolist() == [[0, 128, 255]]


def test_floats(tmp_path):
    share = np.array([[0, 0.5, 1, np.nan]], dtype=np.float32)
    assert pixels(saved(Image.fromarray(share), tmp_path / "a.tif")).tolist() == [[0, 128, 255, 0]]
    wide = np.array([[-2, 0, 2, np.inf]], dtype=np.float32)
    assert pixels(saved(Image.fromarray(wide), tmp_path / "b.tif")).tolist() == [[0, 128, 255, 0]]
    flat = np.full((2, 2), 7, dtype=np.float32)
    assert (pixels(saved(Image.fromarray(flat), tmp_path / "c.tif")) == 0).all()


def test_cmyk_jpeg(tmp_path):
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    picture = decode(saved(red, tmp_path / "a.jpg", quality=100), "a")
    assert picture.mode == "RGB"
    assert np.abs(np.asarray(picture).astype(int) - [255, 0, 0]).max() < 10


def test_lab_tiff(tmp_path):
    picture = decode(saved(Image.new("LAB", (4, 4), (255, 128, 128)), tmp_path / "a.tif"), "a")
    assert picture.mode == "RGB"
    assert np.asarray(picture).min() > 245  # L = 100 is white


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png"])
def test_the_first_frame_or_page_is_taken(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    path = saved(frames[0], tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert np.abs(pixels(path).astype(int) - [255, 0, 0]).max() < 10


@pytest.mark.parametrize(
    ("orientation", "turned"),
    enumerate(
        [
            (),
            (Image.Transpose.FLIP_LEFT_RIGHT,),
            (Image.Transpose.ROTATE_180,),
            (Image.Transpose.FLIP_TOP_BOTTOM,),
            (Image.Transpose.TRANSPOSE,),
            (Image.Transpose.ROTATE_90,),
            (Image.Transpose.TRANSVERSE,),
            (Image.Transpose.ROTATE_270,),
        ],
        start=1,
    ),
)
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_exif_orientation_is_undone(tmp_path, gradient, orientation, turned, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = gradient.transpose(turned[0]) if turned else gradient
    path = saved(stored, tmp_path / f"a.{suffix}", exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    difference = np.abs(pixels(path).astype(int) - np.asarray(gradient))
    assert difference.mean() < (3 if suffix == "jpg" else 0.001)


def test_broken_exif_is_ignored(tmp_path, gradient):
    path = saved(gradient, tmp_path / "a.jpg", exif=b"Exif\0\0not exif at all")
    assert decode(path, "a").size == gradient.size


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("tags", "position"),
    [
        ({1: "N", 2: (47.0, 22.0, 12.0), 3: "E", 4: (8.0, 32.0, 24.0)}, (47.37, 8.54)),
        ({1: "S", 2: (33.0, 52.2, 0.0), 3: "W", 4: (70.0, 40.2, 0.0)}, (-33.87, -70.67)),
        ({1: "N", 2: (47.0, 22.0, 12.0)}, None),
        ({}, None),
    ],
)
def test_the_gps_position_of_a_photograph(tmp_path, suffix, tags, position):
    exif = Image.Exif()
    if tags:
        exif[0x8825] = tags
    path = tmp_path / f"photo.{suffix}"
    Image.new("RGB", (8, 8)).save(path, exif=exif)
    for stored in (path, path.read_bytes()):
        found = gps_position(stored)
        assert found == (position and pytest.approx(position, abs=1e-4))


def test_no_gps_position_where_there_is_no_file_or_no_sense(tmp_path):
    assert gps_position(np.zeros((4, 4), np.uint8)) is None
    assert gps_position(b"") is None
    assert gps_position(tmp_path / "missing.jpg") is None
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: TiffImagePlugin.IFDRational(0, 0), 3: "E", 4: (1.0, 2.0, 3.0)}
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    assert gps_position(buffer.getvalue()) is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_files_that_are_cut_short_are_unreadable(tmp_path, suffix, share):
    path = saved(noise(), tmp_path / f"a.{suffix}")
    data = path.read_bytes()
    assert reason(data[: int(len(data) * share)])


def test_reasons_are_plain(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    noise().save(buffer, "JPEG")
    assert reason(buffer.getvalue()[:2000]) == "the file is cut short"
    assert reason(b"") == "the file is empty"
    assert reason(b"this is a text") == "it is not an image in a known format"
    assert reason(tmp_path / "none.jpg") == "there is no such file"
    (tmp_path / "file").touch()
    assert reason(tmp_path / "file" / "none.jpg") == "there is no such file"
    assert "folder" in reason(tmp_path)
    path = saved(noise(), tmp_path / "a.png")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    assert reason(path) == "reading it is not permitted"


def test_postscript_is_never_run():
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n") == "it is not an image in a known format"


def test_damage_inside_a_file_is_told(tmp_path):
    data = bytearray(saved(noise(), tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    assert reason(bytes(data))


def png_header(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_a_png_of_400_megapixels_is_refused_before_it_is_decoded():
    limit = Image.MAX_IMAGE_PIXELS
    assert reason(png_header(20_000, 20_000)) == "20000 x 20000 pixels is more than the limit of 200 megapixels"
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_jpeg_of_400_megapixels_is_decoded_at_a_part_of_its_size(tmp_path):
    path = saved(Image.new("L", (20_000, 20_000), 77), tmp_path / "a.jpg")
    picture = decode(path, "a")
    assert picture.size == (5_000, 5_000)
    assert picture.getextrema() == (77, 77)
    assert 20_000**2 > MOST_PIXELS > MOST_JPEG_PIXELS


def test_an_image_over_pillows_own_limit_and_under_ours_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    path = saved(noise(), tmp_path / "a.png")
    assert decode(path, "a").size == (64, 64)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("name", ["a.JPG", "b.jpeg", "a b.png", "é.tiff", "x.heic", "a\nb.webp"])
def test_image_names(name):
    assert is_image_name(name)


@pytest.mark.parametrize("name", ["Thumbs.db", "scan.dcm.txt", "a.txt", "jpg", "a.jpg.json", "a.npy", ""])
def test_other_names(name):
    assert not is_image_name(name)
