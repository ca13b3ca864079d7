"""Images that are being edited: uploads, edited versions, and what the model predicts for them, kept for a while."""

from __future__ import annotations

import hashlib
import io
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Generic, TypeVar

import torch
from PIL import Image
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ImagesError, UsageError
from deeptroubles.images.decoding import decode
from deeptroubles.methods.edits.apply_edits import Surroundings, apply_edit, decoded_patch, expect_first, visible_box
from deeptroubles.methods.edits.kinds import Edit, Patch
from deeptroubles.methods.eight_bits import to_bytes
from deeptroubles.methods.transforms.shared.backgrounds import tiled_background
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.serving.workbench import Workbench
from deeptroubles.subject import logits_of

MOST_BYTES = 20 * 2**20
MOST_PIXELS = 64_000_000
"""Of an uploaded file."""
KINDS = ("PNG", "JPEG", "WEBP")
UPLOADS, VERSIONS, PAINTED = 16, 64, 4
"""How many uploads, edited versions, and images with all their feature maps are kept."""
ImageId = int | str
"""The row of an image, or the name of an upload."""
T = TypeVar("T")


class NoSuchImageError(UsageError):
    """There is no such row or upload."""


class Recent(OrderedDict[str, T], Generic[T]):
    """The values that were used last, up to a number."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def used(self, key: str) -> T | None:
        """A value, which from now on was used last; None if it is not there."""
        if key not in self:
            return None
        self.move_to_end(key)
        return self[key]

    def put(self, key: str, value: T) -> T:
        """Keep a value; the one that was not used for longest goes."""
        self[key] = value
        self.move_to_end(key)
        while len(self) > self._most:
            self.popitem(last=False)
        return value


@dataclass(frozen=True)
class Seen:
    """What the model predicts for an edited image.

    Attributes:
        logits: K.
        seconds: How long that took.
        incremental: Whether only what changed was computed.
    """

    logits: Tensor
    seconds: float
    incremental: bool


class Editor:
    """The images of a workbench and uploads, edited. Hold the workbench's lock while asking."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._uploads: Recent[Tensor] = Recent(UPLOADS)
        self._versions: Recent[Tensor] = Recent(VERSIONS)
        self._painted: Recent[LocalEdits] = Recent(PAINTED)
        self._seen: Recent[Tensor] = Recent(VERSIONS)
        self._whole_seconds: float | None = None
        self.is_prepared = False
        """Whether the images were seen and the network was traced, so that looks are quick."""

    @property
    def classifier(self) -> Classifier:
        """The model."""
        return self._bench.classifier

    @property
    def whole_seconds(self) -> float:
        """How long a whole forward pass of one image takes; measured once."""
        if self._whole_seconds is None:
            gray = torch.full((1, self.classifier.channels, *self.classifier.size), 0.5).to(self.classifier.mean)
            times = []
            for _ in range(4):
                began = time.perf_counter()
                logits_of(self.classifier, gray, 1)
                times.append(time.perf_counter() - began)
            self._whole_seconds = median(times[1:])
        return self._whole_seconds

    def prepare(self) -> None:
        """Look at all images, and do once what is slow for the first stroke: tracing the network."""
        _ = self._bench.recording
        gray = torch.full((1, self.classifier.channels, *self.classifier.size), 0.5).to(self.classifier.mean)
        LocalEdits(self._bench.network, gray).one(torch.tensor([0, 0, 1, 1]), 0.0)
        _ = self.whole_seconds
        self.is_prepared = True

    def upload(self, body: bytes) -> str:
        """Keep an uploaded picture (PNG, JPEG or WebP); its name.

        Raises:
            ImagesError: It is too large, of another kind, or damaged.
        """
        _check(body)
        name = f"upload-{hashlib.blake2b(body, digest_size=8).hexdigest()}"
        self._uploads.put(name, self.classifier.prepare(decode(body, "the upload")).to(self.classifier.mean))
        return name

    def original(self, image: ImageId) -> Tensor:
        """An unedited image as the model takes it, C x H x W.

        Raises:
            NoSuchImageError: There is no such row or upload.
        """
        if isinstance(image, int):
            return self._row(image)
        held = self._uploads.used(image)
        if held is None:
            raise NoSuchImageError(f"There is no upload {image[:60]!r}, or no longer; upload the image again.")
        return held

    def edited(self, image: ImageId, edits: Sequence[Edit]) -> Tensor:
        """An edited image, C x H x W. What the first edits give is kept, so that a change of the last costs one edit.

        Raises:
            NoSuchImageError: There is no such row or upload.
            UsageError: An edit is not possible for this image.
        """
        keys, first = _keys(image, edits), 0
        current = self.original(image)
        for count in range(len(edits), 0, -1):
            held = self._versions.used(keys[count])
            if held is not None:
                first, current = count, held
                break
        around = self.surroundings(image)
        for place in range(first, len(edits)):
            expect_first(edits, place)
            current = self._versions.put(keys[place + 1], apply_edit(current, edits[place], around))
        return current

    def look(self, image: ImageId, edits: Sequence[Edit]) -> Seen:
        """What the model predicts for an edited image; patches at the end of the edits are computed incrementally."""
        began = time.perf_counter()
        key = _keys(image, edits)[-1]
        held = self._seen.used(key)
        if held is not None:
            return Seen(held, time.perf_counter() - began, incremental=False)
        pixels = self.edited(image, edits)
        count = next((i for i in range(len(edits), 0, -1) if not isinstance(edits[i - 1], Patch)), 0)
        box = _common_box(edits[count:], *pixels.shape[-2:])
        incremental = False
        if box is None:
            logits = logits_of(self.classifier, pixels[None], 1)[0]
        else:
            painted = self._painting(image, edits[:count])
            top, left, bottom, right = box
            logits = painted.one(torch.tensor(box), pixels[None, :, top:bottom, left:right])
            incremental = painted.is_incremental
        return Seen(self._seen.put(key, logits), time.perf_counter() - began, incremental)

    def surroundings(self, image: ImageId) -> Surroundings:
        """What edits of an image with other images need."""
        return Surroundings(
            image=self._row,
            background=self._background,
            mask=partial(self._mask, image) if isinstance(image, int) else lambda: None,
        )

    def has_mask(self, image: ImageId) -> bool:
        """Whether the object of an image has a mask."""
        return isinstance(image, int) and self._mask(image) is not None

    def _painting(self, image: ImageId, edits: Sequence[Edit]) -> LocalEdits:
        key = _keys(image, edits)[-1]
        held = self._painted.used(key)
        if held is None:
            held = LocalEdits(self._bench.network, self.edited(image, edits)[None])
            self._painted.put(key, held)
        return held

    def _row(self, row: int) -> Tensor:
        if not 0 <= row < len(self._bench.recording.logits):
            raise NoSuchImageError(f"There is no image {row}; there are {len(self._bench.recording.logits)}.")
        return self._bench.recording.subject.pixels([row])[0]

    def _background(self, row: int) -> Tensor:
        """The background of an image: where its object is known, that is tiled with what is around it."""
        pixels, mask = self._row(row), self._mask(row)
        return pixels if mask is None else tiled_background(pixels[None], mask[None])[0]

    def _mask(self, row: int) -> Tensor | None:
        recording = self._bench.recording
        return recording.subject.masks([row])[0] if row in recording.masked else None


def png(pixels: Tensor) -> bytes:
    """An image (C x H x W) as a PNG file, quickly."""
    buffer = io.BytesIO()
    picture_of(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def picture_of(pixels: Tensor) -> Image.Image:
    """An image (C x H x W) as a picture, RGB or grayscale."""
    array = to_bytes(pixels).permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array[..., :3])


def _check(body: bytes) -> None:
    """Raise ImagesError where an upload is not what may be uploaded."""
    if len(body) > MOST_BYTES:
        raise ImagesError(f"An upload may have {MOST_BYTES // 2**20} MB.")
    try:
        picture = Image.open(io.BytesIO(body), formats=KINDS)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImagesError("This file cannot be uploaded; use a PNG, JPEG or WebP image.") from None
    if picture.width * picture.height > MOST_PIXELS:
        raise ImagesError(f"An upload may have {MOST_PIXELS // 1_000_000} megapixels.")


def _keys(image: ImageId, edits: Sequence[Edit]) -> list[str]:
    """A name for the image with no edit, with the first, with the first two, ..."""
    digest = hashlib.blake2b(repr(image).encode(), digest_size=16)
    keys = [digest.hexdigest()]
    for edit in edits:
        digest.update(edit.model_dump_json().encode())
        keys.append(digest.hexdigest())
    return keys


def _common_box(edits: Sequence[Edit], height: int, width: int) -> tuple[int, int, int, int] | None:
    """The smallest box that contains all patches; None where they cover nothing."""
    boxes = [visible_box(e, decoded_patch(e), height, width) for e in edits if isinstance(e, Patch)]
    seen = [box for box in boxes if box is not None]
    if not seen:
        return None
    tops, lefts, bottoms, rights = zip(*seen, strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)
