"""How results look where they are printed, and in a notebook: a few lines, a small table, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

_FEW = 4
"""Entries of a list or a mapping that are written out."""
_LONG = 80
"""Characters of a text that are written out."""


class Brief:
    """A dataclass (with `repr=False`) that prints as one short line: arrays as their shapes, long lists as lengths."""

    def __repr__(self) -> str:
        shown = [f for f in fields(self) if f.repr]  # type: ignore[arg-type]
        return f"{type(self).__name__}({', '.join(f'{f.name}={brief(getattr(self, f.name))}' for f in shown)})"


def brief(value: Any) -> str:
    """A value in a few words."""
    if getattr(value, "shape", ()):
        return f"<{' x '.join(map(str, value.shape))} {type(value).__name__}>"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        entries = [f"{brief(key)}: {brief(each)}" for key, each in value.items()]
        return f"{{{', '.join(entries)}}}" if len(entries) <= _FEW else f"<{len(entries)} entries>"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _brief_sequence(value)
    text = repr(value)
    return text if len(text) <= _LONG or isinstance(value, Brief) else f"{text[: _LONG - 3]}..."


def _brief_sequence(value: Sequence[Any]) -> str:
    kind = type(value).__name__
    if hasattr(value, "_fields"):  # a named tuple
        return f"{kind}({', '.join(map(brief, value))})"
    if value and is_dataclass(value[0]):
        return f"<{len(value)} {type(value[0]).__name__}>"
    return f"[{', '.join(map(brief, value))}]" if len(value) <= _FEW else f"<{len(value)} entries>"


def html_table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in HTML. All texts are escaped; the first cell of a row is its heading."""
    head = "".join(f'<th scope="col" style="text-align:left">{escape(name)}</th>' for name in columns)
    body = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(first)}</th>'
        + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in others)
        + "</tr>"
        for first, *others in rows
    )
    title = f'<caption style="text-align:left">{escape(caption)}</caption>'
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_pictures(caption: str, pictures: Iterable[tuple[str, str, str]]) -> str:
    """Pictures side by side in HTML, from triples of a data URI, what it shows, and a caption."""
    shown = "".join(
        '<figure style="display:inline-block;margin:4px;vertical-align:top;max-width:14em">'
        f'<img src="{escape(src)}" alt="{escape(alt)}" style="min-width:6em;image-rendering:pixelated">'
        f"<figcaption>{escape(text)}</figcaption></figure>"
        for src, alt, text in pictures
    )
    return f"<div><p>{escape(caption)}</p>{shown}</div>"
