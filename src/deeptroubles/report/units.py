"""The units in a run folder as pages to look at, one per layer: files beside files, no script, no request elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from deeptroubles.run.files import write_whole
from deeptroubles.run.unit_store import Entry, Sprite, UnitStore, folder_name

_PAGES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
)
WORDS = 3
"""How many words are shown for a unit."""


def write_unit_pages(path: Path | str, model: str, images: str) -> list[Path]:
    """Write `units/<layer>/index.html` for every layer that the run folder holds.

    Args:
        path: The run folder.
        model: What to call the model.
        images: What to call the images.

    Returns:
        The pages, in the order in which the layers were kept.

    Raises:
        RunFolderError: What the folder holds cannot be read, or the pages cannot be written.
    """
    store = UnitStore(path)
    by_layer: dict[str, list[Entry]] = {}
    for entry in store.entries():
        by_layer.setdefault(entry.layer, []).append(entry)
    by_layer = {layer: entries for layer, entries in by_layer.items() if any(e.technique == "samples" for e in entries)}
    links = [(layer, f"../{folder_name(layer)}/index.html") for layer in by_layer]
    pages = []
    for layer, entries in by_layer.items():
        page = store.path / "units" / folder_name(layer) / "index.html"
        latest = {entry.technique: entry for entry in entries}
        html = _PAGES.get_template("units.html.jinja").render(
            layer=layer,
            layers=links,
            model=model,
            images=images,
            facts=latest["samples"].facts,
            units=_units(store, latest),
        )
        write_whole(page, html.encode())
        pages.append(page)
    return pages


def _units(store: UnitStore, latest: Mapping[str, Entry]) -> list[dict[str, Any]]:
    """What the template shows of every unit."""
    tables = {technique: store.table(entry) for technique, entry in latest.items()}
    groups = {
        technique: dict(iter(table.groupby("unit"))) for technique, table in tables.items() if technique != "statistics"
    }
    units = []
    for row, facts in enumerate(_records(tables["statistics"])):
        unit = int(facts["unit"])
        samples = groups["samples"][unit]
        sprite = latest["samples"].sprite
        units.append(
            {
                "unit": unit,
                "name": facts["name"],
                "flags": _flags(facts),
                "low": f"{facts['low']:.3g}",
                "high": f"{facts['high']:.3g}",
                "active": f"{facts['active']:.0%}",
                "bars": _heights(facts["histogram"]),
                "wins": facts["wins"],
                "top_words": _sample_words(samples[samples["kind"] == "top"]),
                **{kind: _box(sprite, row, part, 3) for part, kind in enumerate(("top", "middle", "weak"))},
                "winners": _box(latest["winners"].sprite, row) if "winners" in latest else None,
                "words": [_word(w) for w in _records(groups.get("words", {}).get(unit, pd.DataFrame()).head(WORDS))],
                "trust": _trust(groups.get("activation_maximization", {}).get(unit)),
                "drawn": _drawn(latest.get("activation_maximization"), tables.get("activation_maximization"), unit),
            }
        )
    return units


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _flags(facts: Mapping[str, Any]) -> list[str]:
    flags = ["never active on these images"] if facts["dead"] else []
    return flags + ([f"repeats unit {facts['duplicate_of']}"] if facts["duplicate_of"] >= 0 else [])


def _heights(histogram: Sequence[int]) -> list[float]:
    """Bars in percent of the highest; the root keeps few images visible beside many."""
    most = max(histogram, default=0) or 1
    return [round(100 * math.sqrt(count / most), 1) for count in histogram]


def _sample_words(top: pd.DataFrame) -> str:
    named = top["label"].where(top["label"].notna(), top["image"])
    counts = list(named.value_counts().items())[:4]
    return ", ".join(f"{label} ({count})" if count > 1 else str(label) for label, count in counts)


def _word(word: Mapping[str, Any]) -> str:
    shown = f"{word['word']}: AUROC {word['auroc']:.2f} ({word['low']:.2f} to {word['high']:.2f})"
    return f"{shown}, {word['purity']:.0%} of the strongest, {word['base_rate']:.0%} of all"


def _drawn(entry: Entry | None, table: pd.DataFrame | None, unit: int) -> list[dict[str, Any]]:
    if entry is None or table is None:
        return []
    shown = []
    for row, facts in table.iterrows():
        if facts["unit"] == unit:
            caption = f"made for it: {facts['activation']:.3g}"
            if pd.notna(facts["fraction"]):
                caption += f", {facts['fraction']:.1f} x the strongest image"
            caption += "; dead" if facts["dead"] else "" if facts["converged"] else "; had not converged"
            label = f"Picture made to excite unit {unit}"
            shown.append({"box": _box(entry.sprite, int(str(row))), "caption": caption, "label": label})
    return shown


def _trust(pictures: pd.DataFrame | None) -> list[tuple[str, str, str]]:
    """What is measured, the number, and what to hold it against."""
    if pictures is None or "path" not in pictures:
        return []
    facts = pictures.iloc[0]
    rows = [
        (
            f"tells strong from weak images, by {encoder}",
            f"{facts[f'told_by_{encoder}']:.0%}",
            (
                f"its strongest images: {facts[f'told_by_{encoder}_natural']:.0%}, other images: "
                f"{facts[f'told_by_{encoder}_random']:.0%}"
            ),
        )
        for encoder in ("pixels", "network")
    ]
    if pd.notna(facts["path"]):
        rows.append(("takes the path of natural images", f"{facts['path']:.2f}", "1: as they do, 0: as any image"))
    rows += [
        (f"two starts agree, by {encoder}", f"{facts[f'agreement_{encoder}']:.2f}", "1: alike, 0: as any two pictures")
        for encoder in ("pixels", "network")
        if pd.notna(facts[f"agreement_{encoder}"])
    ]
    return rows


def _box(sprite: Sprite | None, row: int, part: int = 0, parts: int = 1) -> dict[str, Any] | None:
    """Where in a sprite one row of pictures (or one of several equal parts of it) is, as CSS has it."""
    if sprite is None:
        return None
    page, inside = divmod(row, sprite.rows)
    rows = min(sprite.rows, sprite.count - page * sprite.rows)
    return {
        "file": Path(sprite.files[page]).name,
        "aspect": f"{sprite.columns // parts * sprite.width} / {sprite.height}",
        "size": f"{100 * parts}% auto",
        "position": f"{100 * part / max(1, parts - 1):g}% {100 * inside / max(1, rows - 1):g}%",
        "cells": sprite.columns // parts,
        "small": max(sprite.height, sprite.width) < 64,
    }
