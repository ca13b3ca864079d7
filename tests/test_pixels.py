"""Images are decoded once: what is kept equals what is decoded, to the bit, and what is damaged is never read."""

import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from deeptroubles import Classifier, ImageSet, audit, load_images
from deeptroubles.engine import LocalEngine
from deeptroubles.errors import RunFolderError, UnreadableImageError, UsageError
from deeptroubles.findings import audit_to_json
from deeptroubles.preparing import prepare_images
from deeptroubles.recording import record
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.pixels import PixelFile, PixelFolder, keeping_pixels, parse_size
from deeptroubles.subject import Subject
from tests.networks import Plain, formula

SIZE, SHAPE = (12, 16), (12, 16, 3)


def random(*shape):
    return np.random.default_rng(len(shape) + shape[0]).integers(0, 256, shape, dtype=np.uint8)


def network(size=SIZE, channels=3):
    return Classifier(Plain(channels), size=size, channels=channels)


@pytest.fixture
def files(tmp_path):
    """A folder with a picture of every kind."""
    place = tmp_path / "images"
    place.mkdir()
    color, gray = Image.fromarray(random(40, 50, 3)), Image.fromarray(random(31, 33))
    color.save(place / "color.png")
    color.save(place / "color.jpg")
    color.convert("CMYK").save(place / "cmyk.jpg")
    color.quantize(16).save(place / "palette.png")
    color.convert("RGBA").save(place / "alpha.png")
    gray.save(place / "gray.png")
    gray.save(place / "gray.jpg")
    turned = Image.Exif()
    turned[0x0112] = 6
    color.save(place / "turned.jpg", exif=turned)
    Image.fromarray(random(20, 30).astype(np.uint16) * 16).save(place / "deep.png")
    Image.fromarray(random(20, 30).astype(np.float32) / 255).save(place / "fractions.tif")
    return place


def folder_of(tmp_path, most=10**9):
    return PixelFolder(tmp_path / "pixels", most)


def kept(subject, folder, key="key"):
    return Subject(
        subject.classifier,
        subject.images,
        subject.targets,
        kept=folder.file(key, len(subject.images), (*subject.classifier.size, subject.classifier.channels)),
    )


def idx(tmp_path):
    header = np.array([0x803, 5, 9, 7], dtype=">i4").tobytes()
    (tmp_path / "some-images-idx3-ubyte").write_bytes(header + random(5, 9, 7).tobytes())
    return load_images(tmp_path / "some-images-idx3-ubyte")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("source", ["files", "idx", "bytes", "words", "floats"])
def test_kept_pixels_equal_prepared_ones_to_the_bit(tmp_path, files, source, channels):
    images = {
        "files": lambda: load_images(files),
        "idx": lambda: idx(tmp_path),
        "bytes": lambda: ImageSet.from_arrays([random(9, 30, 3), random(40, 8)]),
        "words": lambda: ImageSet.from_arrays([random(20, 30).astype(np.uint16) * 100]),
        "floats": lambda: ImageSet.from_arrays([np.linspace(0, 1, 20 * 30 * 3).reshape(20, 30, 3)]),
    }[source]()
    classifier = network(channels=channels)
    subject = kept(Subject.unlabelled(classifier, images), folder_of(tmp_path))
    rows = range(len(images))
    plain = torch.stack([by_hand(classifier, images[i]) for i in rows])
    for pixels in (subject.pixels(rows), subject.pixels(rows)):  # decoded, and read
        assert torch.equal(pixels, plain)
        assert pixels.is_contiguous()
    assert torch.equal(plain, torch.stack([classifier.prepare(images[i]) for i in rows]))


def by_hand(classifier, picture):
    """What a picture becomes, spelt out: single precision, divided by 255."""
    picture = picture.convert("L" if classifier.channels == 1 else "RGB")
    height, width = classifier.size
    factor = max(height / picture.height, width / picture.width)
    if factor != 1:
        sides = [max(a, int(side * factor + 1e-9)) for a, side in ((width, picture.width), (height, picture.height))]
        picture = picture.resize(sides, Image.Resampling.BILINEAR)
    left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
    cropped = np.asarray(picture.crop((left, top, left + width, top + height)), dtype=np.float32) / 255
    return torch.from_numpy(cropped.reshape(height, width, -1).transpose(2, 0, 1).copy())


def test_every_eight_bit_value_is_divided_to_the_last_bit():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = torch.tensor([float(np.float32(v) / np.float32(255)) for v in range(256)]).reshape(1, 16, 16)
    assert torch.equal(formula(lambda x: x.flatten(1)[:, :2], 16).prepare(Image.fromarray(values)), expected)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_prepares_the_same_in_order(files, threads):
    images, classifier = load_images(files), network()
    order = [7, 2, 2, 9, 0, 1, 8]
    alone, many = (prepare_images(classifier, images, order, threads=n) for n in (1, threads))
    assert np.array_equal(alone.pixels, many.pixels)
    assert (alone.done, alone.reasons) == (many.done, many.reasons)
    assert np.array_equal(alone.scales, many.scales)


def counted(monkeypatch):
    """The rows that are decoded from here on."""
    rows, reduced = [], ImageSet.reduced

    def counting(self, index, *how):
        rows.append(str(self.table["path"].iloc[index]))
        return reduced(self, index, *how)

    monkeypatch.setattr(ImageSet, "reduced", counting)
    return rows


def test_an_audit_decodes_every_image_once(tmp_path, files, monkeypatch):
    decoded = counted(monkeypatch)
    audit(network(), load_images(files), tmp_path / "run", checks=["stability.rotation", "stability.scale"])
    assert sorted(decoded) == sorted(set(decoded)) == sorted(path.name for path in files.iterdir())
    assert not (tmp_path / "run" / "pixels").exists()
    decoded.clear()
    audit(network(), load_images(files), checks=["stability.rotation"])  # without a folder
    assert len(decoded) == 10


def test_what_is_over_the_bound_is_decoded_whenever_it_is_needed(tmp_path, files, monkeypatch):
    room = 4 * (np.prod(SHAPE) + 4) + 1
    decoded = counted(monkeypatch)
    bounded, whole = (
        audit(network(), load_images(files), checks=["stability.rotation"], keep_pixels=most) for most in (room, "1MB")
    )
    times = [decoded.count(path) for path in load_images(files).table["path"]]
    assert times[:4] == [2] * 4
    assert min(times[4:]) > 2
    assert bounded.findings == whole.findings
    assert any(note.startswith("6 of 10 images did not fit") for note in bounded.images.notes)
    assert not any("did not fit" in note for note in whole.images.notes)
    nothing = audit(network(), load_images(files), tmp_path / "run", checks=["stability.rotation"], keep_pixels=0)
    assert nothing.findings == whole.findings


def test_unreadable_images_are_counted_and_the_others_kept(tmp_path, files):
    (files / "cut.png").write_bytes((files / "color.png").read_bytes()[:200])
    (files / "empty.jpg").write_bytes(b"")
    images, classifier = load_images(files), network()
    recorded = record(classifier, images, LocalEngine(), pixels=folder_of(tmp_path))
    assert {each.path: each.reason for each in recorded.unreadable} == {
        "cut.png": "the file is cut short",
        "empty.jpg": "the file is empty",
    }
    plain = record(classifier, images, LocalEngine())
    assert np.array_equal(recorded.logits, plain.logits)
    rows = range(len(recorded.logits))
    assert torch.equal(recorded.subject.pixels(rows), plain.subject.pixels(rows))
    everything = kept(Subject.unlabelled(classifier, images), folder_of(tmp_path))
    pixels, readable, others = everything.readable_pixels(range(12))
    assert list(images.table["path"].iloc[others]) == ["cut.png", "empty.jpg"]
    assert len(pixels) == len(readable) == 10
    with pytest.raises(UnreadableImageError, match="cut short"):
        everything.pixels(range(12))


def test_parts_read_their_own_images(tmp_path, files, monkeypatch):
    images = load_images(files)
    subject = kept(Subject.unlabelled(network(), images), folder_of(tmp_path))
    everything = subject.pixels(range(10))
    decoded = counted(monkeypatch)
    part = subject.subset([8, 3, 3, 0]).subset([1, 3])
    assert torch.equal(part.pixels([1, 0]), everything[[0, 3]])
    assert not decoded


# --- large JPEGs


def photograph(width, height):
    """A photograph of any size, in which every corner is different."""
    return Image.fromarray(data.coffee()).resize((width, height), Image.Resampling.LANCZOS)


@pytest.mark.parametrize(
    ("width", "height", "divisor"),
    [(1200, 800, 8), (600, 400, 4), (596, 398, 2), (1200, 801, 1), (320, 240, 2), (96, 72, 1), (4800, 104, 1)],
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_jpeg_is_decoded_at_a_reduced_size_where_that_is_enough(tmp_path, width, height, divisor, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph(width, height).save(tmp_path / "photograph.jpg", quality=90, exif=exif)
    images, classifier = load_images(tmp_path), network((24, 32) if orientation < 5 else (32, 24))
    assert images.reduced(0, classifier.scaling)[2] == divisor
    found = prepare_images(classifier, images, [0])
    whole = classifier.fitted(images[0])
    assert images[0].size == ((width, height) if orientation < 5 else (height, width))  # what checks of files see
    assert np.isclose(found.scales[0], classifier.scale(images[0]), rtol=1e-9)
    if divisor == 1:
        assert np.array_equal(found.pixels[0], whole)
    else:
        apart = np.abs(found.pixels[0].astype(float) - whole)
        assert apart.mean() < 0.51
        assert apart.max() <= 7


def test_no_other_image_is_reduced(tmp_path):
    photograph(800, 600).save(tmp_path / "photograph.png")
    assert load_images(tmp_path).reduced(0, network().scaling)[2] == 1
    photograph(800, 600).save(tmp_path / "photograph.jpg")
    (tmp_path / "photograph.png").unlink()
    images = load_images(tmp_path)
    nearest = Classifier(Plain(), size=16, interpolation="nearest")  # picks single pixels
    assert images.reduced(0, nearest.scaling)[2] == images.reduced(0)[2] == 1
    assert np.array_equal(prepare_images(nearest, images, [0]).pixels[0], nearest.fitted(images[0]))


# --- the file


def pixel_file(tmp_path, count=6):
    return PixelFile(tmp_path / "file", SHAPE, np.arange(count))


def test_a_record_that_is_missing_cut_short_or_damaged_is_not_read(tmp_path):
    file, pixels = pixel_file(tmp_path), random(6, *SHAPE)
    assert not file.read(range(6))[1].any()
    file.write([1, 4], pixels[[1, 4]])  # in any order, with holes
    found, held = file.read(range(6))
    assert held.tolist() == [False, True, False, False, True, False]
    assert np.array_equal(found[held], pixels[held])
    assert not found[~held].any()
    file.write(range(6), pixels)
    content = bytearray(file.path.read_bytes())
    content[3 * len(content) // 6 + 5] ^= 1
    file.path.write_bytes(content[:-1])
    assert file.read(range(6))[1].tolist() == [True, True, True, False, True, False]
    file.path.write_bytes(b"")
    assert not file.read(range(6))[1].any()


def test_files_of_other_keys_are_removed(tmp_path):
    folder = folder_of(tmp_path)
    first = folder.file("first", 6, SHAPE)
    first.write(range(6), random(6, *SHAPE))
    assert folder.file("first", 6, SHAPE).read(range(6))[1].all()
    assert not folder.file("second", 6, SHAPE).read(range(6))[1].any()
    assert not first.path.exists()


def test_where_nothing_can_be_written_the_error_says_what_to_do(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(RunFolderError, match="--out"):
        pixel_file(tmp_path).write([0], random(1, *SHAPE))
    (tmp_path / "pixels").write_bytes(b"")
    with pytest.raises(RunFolderError, match="--out"):
        folder_of(tmp_path).file("key", 6, SHAPE)


def test_pixels_stay_for_resuming_and_go_when_nothing_is_left_to_resume(tmp_path):
    folder = RunFolder(tmp_path / "run", {})

    def interrupted():
        with keeping_pixels(folder) as place:
            place.file("key", 6, SHAPE).write([2], random(1, *SHAPE))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with keeping_pixels(folder) as place:
        assert place.file("key", 6, SHAPE).read(range(6))[1].tolist() == [False, False, True, False, False, False]
    assert not (folder.path / "pixels").exists()
    with keeping_pixels(None) as place:
        place.file("key", 6, SHAPE).write([2], random(1, *SHAPE))
    assert not place.path.exists()


KILLED = """
import os, sys
from deeptroubles import audit, load_images
from deeptroubles.run.pixels import PixelFile
from tests.test_pixels import network

write = PixelFile.write
def dying(self, indices, pixels):
    write(self, indices[:40], pixels[:40])
    self.path.open("ab").write(b"half of a record")
    os._exit(9)
PixelFile.write = dying
audit(network(), load_images(sys.argv[1]), sys.argv[2], checks=["stability.rotation"])
"""


def test_a_killed_preparation_goes_on(tmp_path, monkeypatch):
    place = tmp_path / "many"
    place.mkdir()
    for i in range(50):
        Image.fromarray(random(20 + i, 30, 3)).save(place / f"{i:02}.png")
    command = [sys.executable, "-c", KILLED, str(place), str(tmp_path / "run")]
    here = {"PYTHONPATH": os.pathsep.join([*sys.path, str(place.cwd())])}
    assert subprocess.run(command, check=False, env=os.environ | here).returncode == 9
    (left,) = (tmp_path / "run" / "pixels").iterdir()
    held = PixelFile(left, SHAPE, np.arange(50)).read(range(50))[1]
    assert held[:40].all()
    assert not held[40:].any()
    resumed = audit(network(), load_images(place), tmp_path / "run", checks=["stability.rotation"])
    assert resumed.findings == audit(network(), load_images(place), checks=["stability.rotation"]).findings
    assert not (tmp_path / "run" / "pixels").exists()
    decoded = counted(monkeypatch)
    audit(network(), load_images(place), tmp_path / "run", checks=["stability.rotation"])
    assert not decoded  # all is known


def test_two_audits_at_the_same_time(tmp_path, files):
    found = {}

    def run(name):
        result = audit(network(), load_images(files), tmp_path / name, checks=["stability.rotation"], seed=3)
        found[name] = [audit_to_json(result).split('"findings"')[1], result.findings]

    threads = [threading.Thread(target=run, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["first"][1] == found["second"][1]


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 * 10**9), ("500 MB", 5 * 10**8), ("0", 0), (77, 77), ("2GiB", 2**31)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "", "-1", -1, "4 elephants"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="4GB"):
        parse_size(text)


def test_pixels_that_another_process_removed_are_kept_anew(tmp_path):
    file = PixelFolder(tmp_path / "pixels", 10_000).file("key", 3, (2, 2, 3))
    pixels = np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3)
    file.write([0, 1, 2], pixels)
    shutil.rmtree(tmp_path / "pixels")
    assert not file.read([0, 1])[1].any()
    file.write([1], pixels[1:2])
    read, held = file.read([0, 1])
    assert held.tolist() == [False, True]
    assert np.array_equal(read[1], pixels[1])
