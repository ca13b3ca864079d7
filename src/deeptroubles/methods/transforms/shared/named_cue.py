"""Cues named by the user: a cut-out, a text, a color, the watermark, a column of the manifest, or masks."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

from deeptroubles.errors import UsageError, nearest
from deeptroubles.images import ImageSet
from deeptroubles.methods.transforms.shared.lettering import lettering
from deeptroubles.methods.transforms.shared.overlay import PLACES, Overlay, positioned
from deeptroubles.methods.transforms.watermark import watermark

EVERYWHERE = "everywhere"
"""The place of a cut-out that covers the whole image."""
DEFAULT_PLACE = "bottom-left"
"""The place of a cut-out or a text when none is named."""
MAX_SIDE = 1 / 3
"""The longer side of a cut-out as a share of the image's shorter side."""
CAST = 0.3
"""Opacity of a color cast."""
_STORED = 512
"""The largest longer side of a stored cut-out, in pixels."""
_OWN = ("path", "label", "mask", "cue_mask")

Kind = Literal["cut-out", "text", "color", "watermark", "column", "mask"]


@dataclass(frozen=True)
class NamedCue:
    """A cue named by the user.

    Attributes:
        kind: What it is.
        content: The text, the color, the column's name, or the cut-out (PNG, base64).
        place: A key of PLACES, or EVERYWHERE; '' where it has none.
        words: Its name in a sentence.
    """

    kind: Kind
    content: str
    place: str
    words: str


def named_cue(text: str) -> NamedCue:
    """Parse a cue: `watermark`, `text:WORDS@PLACE`, `color:#rrggbb`, `column:NAME`, `mask`, or `FILE.png@PLACE`.

    Raises:
        UsageError: It is none of these, the file cannot be read, or there is no such place or color.
    """
    kind, colon, rest = text.partition(":")
    if text == "watermark":
        return NamedCue("watermark", "", "", "a watermark of Chinese characters (as in ImageNet-W)")
    if text == "mask":
        return NamedCue("mask", "", "", "the region in the cue masks")
    if colon and kind in {"color", "colour"}:
        return NamedCue("color", _color(rest), "", f"a cast of the color {rest.strip()}")
    if colon and kind == "column":
        return NamedCue("column", rest.strip(), "", f"the column {rest.strip()}")
    if colon and kind == "text":
        words, place = _placed(rest, PLACES, exact=False)
        lettering(words, (224, 224))  # raises early if it cannot be drawn
        return NamedCue("text", words, place, f"the text “{words}” at the {place.replace('-', ' ')}")
    file, place = (text, DEFAULT_PLACE) if Path(text).is_file() else _placed(text, (*PLACES, EVERYWHERE), exact=True)
    where = EVERYWHERE if place == EVERYWHERE else f"at the {place.replace('-', ' ')}"
    return NamedCue("cut-out", _cut_out(file), place, f"the cut-out {Path(file).name} {where}")


def fit_cues(cues: Sequence[str], images: ImageSet) -> tuple[NamedCue, ...]:
    """Parse cues, and check that these images have the columns and masks they need.

    Raises:
        UsageError: As `named_cue`; or there is no such column, or there are no cue masks.
    """
    known = [str(name) for name in images.table.columns if name not in _OWN]
    named = tuple(named_cue(text) for text in cues)
    for cue in named:
        if cue.kind == "column" and cue.content not in known:
            there = f"they have {', '.join(known)}" if known else "they have none except path and label"
            raise UsageError(
                f"The images have no column {cue.content!r} ({there}); name a column of the manifest."
                f"{nearest(cue.content, known)}"
            )
        if cue.kind == "mask" and images.fetch_cue_mask is None:
            raise UsageError(
                "The cue `mask` needs masks of the cue; give their files in a column `cue_mask` of the manifest."
            )
    return named


def drawn_cue(cue: NamedCue, size: tuple[int, int], channels: int) -> Overlay:
    """Draw a cut-out, a text, a color or the watermark for images of a height and width and 1 or 3 channels."""
    if cue.kind == "text":
        piece = lettering(cue.content, size)
        return positioned(torch.cat([piece[:1].expand(channels, -1, -1), piece[1:]]), size, cue.place)
    if cue.kind == "watermark":
        white, cover = watermark(size)
        return Overlay(white.expand(1, channels, *size), cover[None, None])
    if cue.kind == "color":
        color = _in_channels(torch.tensor(ImageColor.getrgb(cue.content)[:3]).view(3, 1, 1) / 255, channels)
        return Overlay(color.expand(1, channels, *size), torch.full((1, 1, *size), CAST))
    picture = Image.open(io.BytesIO(base64.b64decode(cue.content)))
    if cue.place == EVERYWHERE:
        height, width = size
    else:
        shrink = MAX_SIDE * min(size) / max(picture.size)
        width, height = (max(1, round(side * shrink)) for side in picture.size)
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
    piece = torch.from_numpy(pixels).permute(2, 0, 1)
    piece = torch.cat([_in_channels(piece[:3], channels), piece[3:]])
    if cue.place == EVERYWHERE:
        return Overlay(piece[None, :-1], piece[None, -1:])
    return positioned(piece, size, cue.place)


def _in_channels(color: Tensor, channels: int) -> Tensor:
    """Red, green and blue (3 x H x W), converted to grayscale (as in Pillow) for one channel."""
    return color if channels == 3 else (color * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True)


def _placed(text: str, places: Sequence[str] | dict[str, tuple[float, float]], *, exact: bool) -> tuple[str, str]:
    """Split at the last @ into text and place. Unless `exact`, a suffix unlike any place belongs to the text."""
    before, at, place = text.rpartition("@")
    if at and place in places:
        return before, place
    hint = nearest(place, places) if at else ""
    if at and (exact or hint):
        raise UsageError(f"There is no place {place!r}.{hint} Places are {', '.join(places)}.")
    return text, DEFAULT_PLACE


def _color(text: str) -> str:
    try:
        ImageColor.getrgb(text.strip())
    except ValueError:
        raise UsageError(f"{text.strip()!r} is not a color; write it like color:#ff8800.") from None
    return text.strip()


def _cut_out(file: str) -> str:
    """A picture file as PNG with transparency, in base64."""
    forms = "watermark, text:WORDS@PLACE, color:#rrggbb, column:NAME, mask, or FILE.png@PLACE"
    try:
        with Image.open(file, formats=("PNG", "WEBP", "GIF", "JPEG")) as opened:
            picture = opened.convert("RGBA")
    except FileNotFoundError:
        raise UsageError(f"The cue {file!r} is not a file; a cue is {forms}.") from None
    except Exception as error:
        raise UsageError(f"The cue {file!r} cannot be read as a picture; give a PNG file.") from error
    if not picture.getchannel("A").getbbox():
        raise UsageError(f"The cue {file!r} is fully transparent; give a picture that shows something.")
    picture.thumbnail((_STORED, _STORED))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
