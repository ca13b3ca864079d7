"""Lettering: a line of text as stamped on photographs, white with a dark outline."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from deeptroubles.errors import UsageError

HEIGHT = 1 / 12
"""Height of the letters as a share of the image's shorter side, unless another is given; at least MIN_HEIGHT pixels."""
MIN_HEIGHT = 7
MAX_WIDTH = 0.9
"""The largest width of a line as a share of the image's; longer lines get smaller letters."""
_FINE = 4


def lettering(text: str, size: tuple[int, int], share: float = HEIGHT) -> Tensor:
    """Draw a line of text: brightness and opacity, 2 x h x w in [0, 1].

    Args:
        text: The line.
        size: Height and width of the images that it is for.
        share: Height of the letters as a share of the image's shorter side, in (0, 1].

    Raises:
        UsageError: The text is empty, or holds a letter that the font lacks.
    """
    high = _FINE * max(MIN_HEIGHT, share * min(size))
    font = ImageFont.load_default(high)
    absent = [letter for letter in text if _missing(font, letter)]
    if absent or not text.strip():
        reason = f"has no {absent[0]!r}" if absent else "needs at least one letter"
        raise UsageError(f"The built-in font {reason}; change the text, or give the cue as a PNG file.")
    outline = max(1, round(high / 12))
    left, top, right, bottom = font.getbbox(text, stroke_width=outline)
    sheets = []
    for stroke in (0, outline):
        sheet = Image.new("L", (int(right - left), int(bottom - top)))
        ImageDraw.Draw(sheet).text((-left, -top), text, fill=255, font=font, stroke_width=stroke)
        sheets.append(sheet)
    shrink = min(1 / _FINE, MAX_WIDTH * size[1] / sheets[0].width)
    small = (max(1, round(sheets[0].width * shrink)), max(1, round(sheets[0].height * shrink)))
    letters, cover = (
        torch.from_numpy(np.asarray(sheet.resize(small, Image.Resampling.BOX), dtype=np.float32) / 255)
        for sheet in sheets
    )
    return torch.stack([letters / cover.clamp_min(1 / 255), cover]).clamp(0, 1)


def _missing(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, letter: str) -> bool:
    """Whether the font draws the letter as it draws a character that no font has."""
    return not letter.isspace() and bytes(font.getmask(letter)) == bytes(font.getmask("\uffff"))
