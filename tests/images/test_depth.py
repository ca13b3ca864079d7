"""Images with more than 8 bits: one rule for a set, from its own values, its files or a person."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image
from torch import nn

from deeptroubles import Classifier
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import UnreadableImageError, UsageError
from deeptroubles.images import ImageSet, load_images
from deeptroubles.images.conversions import Conversion, describe_conversions
from deeptroubles.images.decoding import decode
from deeptroubles.images.depth import Extent, ValueRange, common_range, parse_range
from deeptroubles.recording import record


def put(folder, **arrays):
    """Write arrays as TIFFs of their own type."""
    for name, values in arrays.items():
        tifffile.imwrite(folder / f"{name}.tif", np.asarray(values))


def shades(images):
    return [np.asarray(picture).ravel().tolist() for picture in images]


@pytest.mark.parametrize(
    ("extents", "expected"),
    [
        ([(0, 200, True)], (0, 255)),
        ([(3, 256, True)], (0, 1023)),
        ([(0, 4000, True), (90, 4095, True)], (0, 4095)),
        ([(0, 4000, True), (90, 9000, True)], (0, 16383)),
        ([(0, 65535, True)], (0, 65535)),
        ([(7, 70000, True)], (7, 70000)),
        ([(-1000, 400, True), (-20, 3000, True)], (-1000, 3000)),
        ([(0.1, 0.9, False)], (0, 1)),
        ([(0.1, 0.9, False), (0, 4, False)], (0, 4)),
        ([(0, 0, False)], (0, 1)),
    ],
)
def test_the_range_of_a_set(extents, expected):
    found = common_range([Extent(*each) for each in extents])
    assert (found.low, found.high) == expected


def test_the_same_tissue_has_the_same_shade_in_every_file(tmp_path):
    put(tmp_path, a=np.int16([[-1000, 40]]), b=np.int16([[40, 1000]]))
    (_, soft), (also_soft, _) = shades(load_images(tmp_path))
    assert soft == also_soft == 133  # (40 + 1000) / 2000 of 255
    assert shades(load_images(tmp_path, value_range="-160:240")) == [[0, 128], [128, 255]]
    assert shades(load_images(tmp_path, value_range=(-160, 240))) == [[0, 128], [128, 255]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_16_are_not_black(tmp_path, suffix):
    for name, top in (("a", 4095), ("b", 2048)):
        Image.fromarray(np.array([[0, top]], dtype=np.uint16)).save(tmp_path / f"{name}.{suffix}")
    assert shades(load_images(tmp_path)) == [[0, 255], [0, 128]]


def test_signed_bytes_are_signed(tmp_path):
    put(tmp_path, a=np.int8([[-128, 0, 127]]))
    assert shades(load_images(tmp_path)) == [[0, 128, 255]]


def test_8_bits_stay_as_they_are_among_others(tmp_path):
    put(tmp_path, a=np.uint16([[0, 4095]]), b=np.uint8([[7, 200]]))
    images = load_images(tmp_path)
    assert shades(images) == [[0, 255], [7, 200]]
    assert [images.convert(i)[1].deep for i in range(2)] == [True, False]
    assert images.common_range.found == ValueRange(0, 4095)


def test_a_part_keeps_the_range_of_the_whole(tmp_path):
    put(tmp_path, a=np.uint16([[0, 100]]), b=np.uint16([[0, 60000]]))
    images = load_images(tmp_path)
    part, alone = images.subset([0]), load_images(tmp_path / "a.tif")
    assert shades(part) == [[0, 0]]
    assert shades(alone) == [[0, 100]]
    assert part.fingerprint() != alone.fingerprint()
    assert images.fingerprint() != images.in_range(ValueRange(0, 9)).fingerprint()


def test_a_set_of_8_bits_has_no_range_and_keeps_its_fingerprint(tmp_path):
    put(tmp_path, a=np.uint8([[7, 200]]))
    images = load_images(tmp_path)
    assert images.common_range.found is None
    assert images.in_range(ValueRange(0, 9)).fingerprint() != images.fingerprint()


def test_a_file_that_cannot_be_read_does_not_disturb_the_others(tmp_path):
    put(tmp_path, a=np.uint16([[0, 4095]]))
    (tmp_path / "b.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:40])
    assert shades([load_images(tmp_path)[0]]) == [[0, 255]]


@pytest.mark.parametrize("text", ["", "7", "3:3", "9:1", "a:b", "0:inf", "1:2:3"])
def test_ranges_that_are_none(text):
    with pytest.raises(UsageError, match=r"write LOW:HIGH, such as 0:4095"):
        parse_range(text)


def test_arrays_of_whole_numbers():
    images = ImageSet.from_arrays([np.uint16([[0, 4095]]), np.uint16([[1000, 2000]])])
    assert shades(images) == [[0, 255], [62, 125]]
    assert images.notes == ("2 of 2 images had more than 8 bits: 0 is black and 4095 is white.",)
    given = ImageSet.from_arrays(np.int32([[[-10, 0, 10]]]), value_range=(0, 10))
    assert shades(given) == [[0, 0, 255]]


def test_pictures_and_files_among_arrays(tmp_path):
    Image.new("RGBA", (1, 1), (9, 9, 9, 0)).save(tmp_path / "a.png")
    images = ImageSet.from_arrays(
        [tmp_path / "a.png", str(tmp_path / "a.png"), Image.new("P", (1, 1)), np.zeros((1, 1, 3))]
    )
    assert shades(images) == [[255] * 3, [255] * 3, [0] * 3, [0] * 3]


# --- DICOM


def dicom(path, values, **tags):
    """A file with these stored values, written by pydicom."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = pydicom.Dataset()
    data.file_meta = meta
    values = np.asarray(values)
    color = values.ndim == 3 and values.shape[2] == 3
    data.Rows, data.Columns = values.shape[-2:] if not color else values.shape[:2]
    if values.ndim == 3 and not color:
        data.NumberOfFrames = len(values)
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if color else (1, "MONOCHROME2")
    if color:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = values.dtype.itemsize * 8
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(np.issubdtype(values.dtype, np.signedinteger))
    data.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def test_dicom_is_rescaled_and_shown_in_its_window(tmp_path):
    path = dicom(
        tmp_path / "a.dcm",
        np.int16([[0, 1024, 1064, 3000]]),
        Modality="CT",
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=40,
        WindowWidth=400,
    )
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.dcmread(path)
    peer = pydicom.pixels.apply_windowing(pydicom.pixels.apply_modality_lut(data.pixel_array, data), data)
    expected = (peer - peer.min()) / (peer.max() - peer.min()) * 255
    assert np.abs(np.asarray(decode(path, "a")).astype(float) - expected).max() <= 1


def test_ct_files_share_the_widest_window(tmp_path):
    for name, center, width in (("a", 40, 401), ("b", -600, 1601)):
        dicom(tmp_path / f"{name}.dcm", np.int16([[40, 41]]), Modality="CT", WindowCenter=center, WindowWidth=width)
    images = load_images(tmp_path)
    first, second = shades(images)
    assert first == second
    assert images.common_range.found == ValueRange(-1400.5, 239.5)


def test_radiographs_keep_the_window_of_each_file_unless_a_range_is_said(tmp_path):
    for name, top in (("a", 1023), ("b", 4095)):
        values = np.uint16([[0, top]])
        dicom(tmp_path / f"{name}.dcm", values, Modality="DX", WindowCenter=(top + 2) / 2, WindowWidth=top + 1)
    images = load_images(tmp_path)
    assert shades(images) == [[0, 255], [0, 255]]
    assert [images.convert(i)[1] for i in range(2)] == [Conversion(windowed=True)] * 2
    assert shades(load_images(tmp_path, value_range="0:4095")) == [[0, 64], [0, 255]]


def test_dicom_without_a_window_follows_the_set(tmp_path):
    for name, top in (("a", 1000), ("b", 4000)):
        dicom(tmp_path / f"{name}.dcm", np.uint16([[0, top]]), Modality="MR")
    assert shades(load_images(tmp_path)) == [[0, 62], [0, 249]]


def test_inverted_many_framed_and_colored_dicom(tmp_path):
    inverted = dicom(tmp_path / "a.dcm", np.uint8([[0, 255]]), PhotometricInterpretation="MONOCHROME1")
    assert np.asarray(decode(inverted, "a")).tolist() == [[255, 0]]
    frames = dicom(tmp_path / "b.dcm", np.uint8([[[1, 255]], [[7, 9]]]))
    assert np.asarray(decode(frames, "b")).tolist() == [[1, 255]]
    color = dicom(tmp_path / "c.dcm", np.uint8([[[1, 2, 3], [4, 5, 6]]]))
    assert np.asarray(decode(color, "c")).tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_files_of_an_extra_that_is_missing_say_what_to_install(tmp_path, monkeypatch):
    path = dicom(tmp_path / "a.dcm", np.uint8([[0, 255]]))
    for package in ("pydicom", "pillow_heif"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(UnreadableImageError, match=r'pip install "deeptroubles\[dicom\]"'):
        decode(path, "a.dcm")
    with pytest.raises(UnreadableImageError, match=r'pip install "deeptroubles\[heic\]"'):
        decode(b"\0\0\0\x18ftypheic" + bytes(40), "a.heic")


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.new("RGB", (64, 64), (200, 40, 10))
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, format="HEIF", quality=90)
    found = decode(buffer.getvalue(), "a.heic")
    assert (found.mode, found.size) == ("RGB", (64, 64))
    assert np.abs(np.asarray(found).astype(int) - [200, 40, 10]).max() < 8


# --- what is told


def test_one_note_counts_what_was_done(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (4, 2)).save(tmp_path / "turned.jpg", exif=turned)
    Image.new("RGBA", (2, 2)).save(tmp_path / "clear.png")
    Image.new("RGBA", (2, 2), (1, 2, 3, 255)).save(tmp_path / "opaque.png")
    put(tmp_path, deep=np.uint16([[4095]]), color=np.zeros((2, 2, 3), np.uint16))
    images = load_images(tmp_path)
    done = [images.convert(i)[1] for i in range(5)]
    assert [d._asdict() | {"path": p} for d, p in zip(done, images.table["path"], strict=True) if any(d)] == [
        Conversion(transparent=True)._asdict() | {"path": "clear.png"},
        Conversion(cut=True)._asdict() | {"path": "color.tif"},
        Conversion(deep=True)._asdict() | {"path": "deep.tif"},
        Conversion(turned=True)._asdict() | {"path": "turned.jpg"},
    ]
    assert describe_conversions(done, [0.5, 0.5, 2, 1, 1], images.common_range.found) == (
        "1 of 5 images had more than 8 bits: 0 is black and 4095 is white; say --range LOW:HIGH for another range. "
        "1 of 5 images had 16 bits per color: the upper 8 were used. "
        "1 of 5 images had transparent pixels: laid on white. "
        "1 of 5 images had an EXIF orientation: turned upright. "
        "The images were resized by factors of 0.5 to 2; 1 of them was enlarged."
    )


def test_nothing_is_told_where_nothing_was_done():
    assert describe_conversions([Conversion()] * 3, [1, 1, 1], None) == ""
    assert "range of values was not used" in describe_conversions([Conversion()], [1], ValueRange(0, 9), given=True)


def test_files_that_are_passed_over_are_counted_and_those_without_a_suffix_looked_into(tmp_path):
    for i, name in enumerate(["a.png", "noname", "1.2.840"]):
        Image.new("L", (2, 2), i).save(tmp_path / name, format="PNG")
    for name in ("notes.txt", "more.TXT", "data.npy", "text"):
        (tmp_path / name).write_text("x")
    images = load_images(tmp_path)
    assert images.table["path"].tolist() == ["1.2.840", "a.png", "noname"]
    assert images.notes == ("Files that are not images were left out: 2 .txt, 1 .npy, 1 without a suffix.",)
    assert len(load_images(tmp_path / "noname")) == 1


def test_an_audit_tells_what_was_done(tmp_path):
    for i in range(4):
        put(tmp_path, **{f"{i}": np.full((8, 8), 1000 * i, np.uint16)})
    classifier = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), size=4, channels=1)
    found = record(classifier, load_images(tmp_path), LocalEngine(None, 2))
    assert found.conversions == (
        "4 of 4 images had more than 8 bits: 0 is black and 4095 is white; say --range LOW:HIGH for another range. "
        "The images were resized by a factor of 0.5."
    )
