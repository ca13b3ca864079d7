"""Cues named by the user: a cut-out, a text, a color, the watermark, a column, masks, or what another audit found."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageColor
from torch import Tensor

from deeptroubles.errors import RunFolderError, UsageError, nearest
from deeptroubles.images import ImageSet
from deeptroubles.images.decoding import is_image_name
from deeptroubles.methods.reliance.treatments import is_amount
from deeptroubles.methods.transforms.shared.color import LUMA
from deeptroubles.methods.transforms.shared.lettering import HEIGHT, lettering
from deeptroubles.methods.transforms.shared.overlay import PLACES, Overlay, positioned
from deeptroubles.methods.transforms.watermark import watermark
from deeptroubles.run.cues import FoundCue, read_cues

RUN = "run:"
"""What the cues that another audit found begin with."""
EVERYWHERE = "everywhere"
"""The place of a cut-out that covers the whole image."""
DEFAULT_PLACE = "bottom-left"
"""The place of a cut-out or a text when none is named."""
MAX_SIDE = 1 / 3
"""The longer side of a cut-out as a share of the image's shorter side, unless another size is given."""
CAST = 0.3
"""Opacity of a color cast."""
_STORED = 512
"""The largest longer side of a stored cut-out, in pixels."""
_OWN = ("path", "label", "mask", "cue_mask")

Kind = Literal["cut-out", "text", "color", "watermark", "column", "mask", "treatment"]


@dataclass(frozen=True)
class NamedCue:
    """A cue named by the user.

    Attributes:
        kind: What it is.
        content: The text, the color, the column's name, the treatment's, or the cut-out (PNG, base64).
        place: A key of PLACES, or EVERYWHERE; '' where it has none.
        words: Its name in a sentence.
        size: Height of the letters of a text, or the longer side of a cut-out, as a share of the image's shorter side;
            0 where it has none.
        amount: The amount of a treatment.
        controls: Other treatments that change images as much, with their amounts.
    """

    kind: Kind
    content: str
    place: str
    words: str
    size: float = 0.0
    amount: float = 0.0
    controls: tuple[tuple[str, float], ...] = ()


def named_cues(text: str) -> tuple[NamedCue, ...]:
    """Parse a cue, or several: a folder of cut-outs (`FOLDER@PLACE:SIZE`) in order of their names, or `run:FOLDER`.

    Raises:
        UsageError: As `named_cue`; or the folder holds no image files; or the run has no such cue.
        RunFolderError: There is no run, it found no cue, or its files are damaged.
    """
    if text.startswith(RUN):
        return tuple(_found_cue(cue, picture) for cue, picture in read_cues(text.removeprefix(RUN)))
    folder, at, where = (text, "", "") if Path(text).is_dir() else text.rpartition("@")
    if not folder or not Path(folder).is_dir():
        return (named_cue(text),)
    files = sorted(str(file) for file in Path(folder).iterdir() if file.is_file() and is_image_name(file.name))
    if not files:
        raise UsageError(f"The cue {folder!r} is a folder without image files; put PNG files of cut-outs into it.")
    return tuple(named_cue(f"{file}{at}{where}") for file in files)


def named_cue(text: str) -> NamedCue:
    """Parse a cue.

    It is `watermark`, `text:WORDS@PLACE:SIZE`, `color:#rrggbb`, `column:NAME`, `mask`, or `FILE.png@PLACE:SIZE`.

    Raises:
        UsageError: It is none of these, the file cannot be read, or there is no such place, size or color.
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
        words, place, size = _placed(rest, PLACES, HEIGHT, exact=False)
        lettering(words, (224, 224), size)  # raises early if it cannot be drawn
        return NamedCue("text", words, place, f"the text “{words}” {_where(place, size, HEIGHT)}", size)
    file, place, size = (text, DEFAULT_PLACE, MAX_SIDE)
    if not Path(text).is_file():
        file, place, size = _placed(text, (*PLACES, EVERYWHERE), MAX_SIDE, exact=True)
    return NamedCue(
        "cut-out", _cut_out(file), place, f"the cut-out {Path(file).name} {_where(place, size, MAX_SIDE)}", size
    )


def _found_cue(cue: FoundCue, picture: Path) -> NamedCue:
    """A cue that an audit found."""
    words = f"the cue {cue.name} of another run"
    amounts = {cue.treatment: cue.amount, **cue.controls} if cue.treatment else {}
    placed = cue.treatment or cue.place == EVERYWHERE or (cue.place in PLACES and 0 < cue.size <= 1)
    if not placed or not all(is_amount(name, amount) for name, amount in amounts.items()):
        raise RunFolderError(f"{picture.with_suffix('.json')} is damaged; run that audit again.")
    if cue.treatment:
        return NamedCue("treatment", cue.treatment, "", words, amount=cue.amount, controls=tuple(cue.controls.items()))
    return NamedCue("cut-out", _cut_out(str(picture)), cue.place, words, cue.size)


def fit_cues(cues: Sequence[str], images: ImageSet) -> tuple[NamedCue, ...]:
    """Parse cues, and check that these images have the columns and masks they need.

    Raises:
        UsageError: As `named_cues`; or there is no such column, or there are no cue masks.
        RunFolderError: As `named_cues`.
    """
    known = [str(name) for name in images.table.columns if name not in _OWN]
    named = tuple(cue for text in cues for cue in named_cues(text))
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
        piece = lettering(cue.content, size, cue.size)
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
        shrink = cue.size * min(size) / max(picture.size)
        width, height = (max(1, round(side * shrink)) for side in picture.size)
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BOX), dtype=np.float32) / 255
    piece = torch.from_numpy(pixels).permute(2, 0, 1)
    piece = torch.cat([_in_channels(piece[:3], channels), piece[3:]])
    if cue.place == EVERYWHERE:
        return Overlay(piece[None, :-1], piece[None, -1:])
    return positioned(piece, size, cue.place)


def _in_channels(color: Tensor, channels: int) -> Tensor:
    """Red, green and blue (3 x H x W), converted to grayscale (as in Pillow) for one channel."""
    return color if channels == 3 else (color * torch.tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)


def _where(place: str, size: float, usual: float) -> str:
    """The place in words, with the size where it is not the usual one."""
    where = EVERYWHERE if place == EVERYWHERE else f"at the {place.replace('-', ' ')}"
    return where if size == usual else f"{where} (size {size:g})"


def _placed(text: str, places: Iterable[str], usual: float, *, exact: bool) -> tuple[str, str, float]:
    """Split `TEXT@PLACE:SIZE`. Unless `exact`, a suffix unlike any place belongs to the text."""
    before, at, suffix = text.rpartition("@")
    place, colon, size = suffix.partition(":")
    if at and place in places:
        return before, place, _size(size, place) if colon else usual
    hint = nearest(place, places) if at else ""
    if at and (exact or hint):
        raise UsageError(f"There is no place {place!r}.{hint} Places are {', '.join(places)}.")
    return text, DEFAULT_PLACE, usual


def _size(text: str, place: str) -> float:
    if place == EVERYWHERE:
        raise UsageError(f"A cue that is {EVERYWHERE} has no size; leave :{text} off.")
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size <= 1:
        raise UsageError(
            f"{text!r} is not the size of a cue; give a share of the image's shorter side above 0 and up to 1, such as "
            f"@{place}:0.2."
        )
    return size


def _color(text: str) -> str:
    try:
        ImageColor.getrgb(text.strip())
    except ValueError:
        raise UsageError(f"{text.strip()!r} is not a color; write it like color:#ff8800.") from None
    return text.strip()


def _cut_out(file: str) -> str:
    """A picture file as PNG with transparency, in base64."""
    forms = (
        "watermark, text:WORDS@PLACE:SIZE, color:#rrggbb, column:NAME, mask, FILE.png@PLACE:SIZE, a folder, or run:RUN"
    )
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
