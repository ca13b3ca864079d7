"""What the run folder holds about a network's layers and units, as the microscope shows it. Computes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pandas as pd

from deeptroubles.run.unit_store import Entry, UnitStore

TRUST = {
    "told_by_network": "Tells strong from weak images, by the network",
    "told_by_pixels": "Tells strong from weak images, by pixels",
    "path": "Takes the path of natural images through the network",
    "agreement_network": "Two starts agree, by the network",
    "agreement_pixels": "Two starts agree, by pixels",
}
"""The numbers that say how far a made picture can be trusted."""
CHANCE = 0.5
"""A unit detects a word where the whole interval of its AUROC is above that of guessing."""


@dataclass(frozen=True, kw_only=True)
class LayerNode:
    """A layer of the graph.

    Attributes:
        name: Its name.
        kind: What computes it; '' where that is not known.
        units: How many units it has.
        grid: Height and width of its positions.
        receptive_field: Height and width in pixels of what one position can depend on.
        kept: The techniques that the run folder holds.
    """

    name: str
    kind: str
    units: int
    grid: tuple[int, int] | None
    receptive_field: tuple[int, int] | None
    kept: list[str]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """The layers with units, in the order in which they are computed, and which of them reads which.

    Attributes:
        layers: The layers.
        edges: Names of a layer (or `pixels`) and of a layer that reads it; none where they are not known.
        others: Layers outside of this graph that the run folder holds, such as `logits`.
    """

    layers: list[LayerNode]
    edges: list[tuple[str, str]]
    others: list[LayerNode]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Pictures of one size in files, in reading order.

    Attributes:
        key: Of the entry; page `n` of it is at `/microscope/sprites/<key>/<n>`.
        technique: What they show.
        width, height: Of one picture in pixels.
        columns: Pictures side by side in a file.
        rows: Rows in every full file.
        each: Pictures of each unit, one after the other.
        units: The units in their order; none: all units of the layer.
    """

    key: str
    technique: str
    width: int
    height: int
    columns: int
    rows: int
    each: int
    units: list[int] | None = None


@dataclass(frozen=True, kw_only=True)
class UnitRow:
    """A unit in a table of all units of its layer.

    Attributes:
        unit: Its number.
        name: Its number, and the class where units are classes.
        low, high, mean: Of its activation over the images.
        active: Share of the images on which it is above 0.
        sparsity: Share of all activations that are not above 0.
        lifetime_sparsity: 0 for a unit that responds equally to everything, 1 for one that responds to one image.
        wins: Images and positions at which it is the most active unit of the layer.
        dead: Whether it never responds.
        duplicate_of: The lower unit that it repeats.
        word: The word that it detects best.
        auroc: How well, with its interval.
        purity: Share of its strongest images with that word.
        trust: How often its made picture tells strong from weak images.
    """

    unit: int
    name: str
    low: float | None
    high: float | None
    mean: float | None
    active: float | None
    sparsity: float | None
    lifetime_sparsity: float | None
    wins: int
    dead: bool
    duplicate_of: int | None
    word: str
    auroc: tuple[float | None, float | None, float | None] | None
    purity: float | None
    trust: float | None


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """A layer and all of its units.

    Attributes:
        layer: The layer.
        count: Images that were looked at.
        unreadable: Images that could not be read.
        units: One row per unit; none where the images were not looked at yet.
        sheets: The sheets of pictures with some for every unit, or for some units.
        caricatures: Images exaggerated at this layer.
        text_possible: Whether texts can be searched for its units.
    """

    layer: LayerNode
    count: int
    unreadable: int
    units: list[UnitRow]
    sheets: list[Sheet]
    caricatures: list[Made]
    text_possible: bool = False


@dataclass(frozen=True, kw_only=True)
class SampleFacts:
    """An image of a unit. `picture` is its number in the sheet; `row` its place among the images, where it is known."""

    picture: int
    row: int | None
    image: str
    label: str
    value: float | None


@dataclass(frozen=True, kw_only=True)
class Word:
    """A word that a unit detects, with the interval of the AUROC, and how often it stands at the strongest images."""

    word: str
    column: str
    auroc: float | None
    low: float | None
    high: float | None
    within_classes: float | None
    purity: float | None
    base_rate: float | None


@dataclass(frozen=True, kw_only=True)
class Made:
    """A picture that was made: where it is, what it starts from, and how a unit responds to it.

    Attributes:
        technique: `channel`, `neuron`, `negative`, `diversity`, `dream` or `caricature`.
        sheet: Where it is.
        picture: Its number in the sheet.
        image: The image it starts from; '' for noise.
        row: Its place among the images.
        activation: How the unit responds to it.
        fraction: As a multiple of the response to the strongest image.
        converged: Whether the ascent had come to its end.
        dead: Whether it failed.
    """

    technique: str
    sheet: Sheet
    picture: int
    image: str = ""
    row: int | None = None
    activation: float | None = None
    fraction: float | None = None
    converged: bool = True
    dead: bool = False


@dataclass(frozen=True, kw_only=True)
class TrustNumber:
    """How far the pictures of a unit can be trusted: what is measured, the number, and what to hold it against."""

    name: str
    value: float | None
    compare: str


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A weight by which a unit of a later layer reads this unit; its name is the class where units are classes."""

    unit: int
    name: str
    weight: float


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The strongest weights by which a later layer reads this unit, of either sign."""

    layer: str
    positive: list[Weight]
    negative: list[Weight]


@dataclass(frozen=True, kw_only=True)
class Similar:
    """A unit of the same layer that responds alike, and the correlation over the images."""

    unit: int
    correlation: float


@dataclass(frozen=True, kw_only=True)
class UnitView:
    """All that is kept about a unit.

    Attributes:
        unit: Its number.
        facts: Its row; none where the images were not looked at yet.
        histogram: Numbers of images in equal bins from the lowest to the highest activation.
        samples: The sheet of the images.
        top, middle, weak: The strongest, middling and weakest images.
        winners: Where the unit is the most active one of its layer.
        words: What it detects.
        made: Pictures that were made.
        trust: How far they can be trusted.
        texts: Texts that excite it, with their cosines.
        readings: The weights by which later layers read it.
        similar: Units that respond alike.
    """

    unit: int
    facts: UnitRow | None
    histogram: list[int]
    samples: Sheet | None
    top: list[SampleFacts]
    middle: list[SampleFacts]
    weak: list[SampleFacts]
    winners: Made | None
    words: list[Word]
    made: list[Made]
    trust: list[TrustNumber]
    texts: list[tuple[str, float]]
    readings: list[Reading]
    similar: list[Similar]


@dataclass
class KeptUnits:
    """Reads the store; tables that were read lately stay in memory.

    Attributes:
        store: The store.
    """

    store: UnitStore
    _read: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._read = lru_cache(32)(self._table_of)

    def graph(self) -> Graph | None:
        """The graph, if it is kept."""
        kept = [entry for entry in self.store.entries() if entry.technique == "graph"]
        if not kept:
            return None
        return self.graph_from(self._table(kept[-1]), kept[-1].facts["edges"])

    def graph_from(self, table: pd.DataFrame, edges: Sequence[Sequence[str]]) -> Graph:
        """The graph of `workflows.units.graph_of`, with what is kept of each layer."""
        entries = self.store.entries()
        layers = [self._node(row, entries) for row in _records(table)]
        others = self.others({layer.name for layer in layers})
        return Graph(layers=layers, edges=[(str(a), str(b)) for a, b in edges], others=others)

    def others(self, known: set[str]) -> list[LayerNode]:
        """Layers that are kept and not known, in the order in which they were kept."""
        entries = self.store.entries()
        names = dict.fromkeys(e.layer for e in entries if e.technique == "statistics" and e.layer not in known)
        found = []
        for name in names:
            latest = _latest(entries, name)
            facts = latest["samples"].facts if "samples" in latest else {}
            row = {"positions": facts.get("grid"), "receptive_field": facts.get("receptive_field")}
            units = len(self._table(latest["statistics"]))
            found.append(self._node({"layer": name, "kind": "", "units": units, **row}, entries))
        return found

    def layer(self, node: LayerNode) -> LayerView:
        """A layer and all of its units."""
        latest = _latest(self.store.entries(), node.name)
        facts = latest["samples"].facts if "samples" in latest else {}
        return LayerView(
            layer=node,
            count=int(facts.get("count", 0)),
            unreadable=int(facts.get("unreadable", 0)),
            units=self._rows(latest, node.name),
            sheets=[
                *(_sheet(latest[name], name) for name in ("covers", "samples", "winners") if name in latest),
                *(_sheet(entry, str(entry.parameters["objective"])) for entry in self._pictures(node.name)),
            ],
            caricatures=self._made(node.name, "caricature", None),
        )

    def unit(self, layer: str, unit: int) -> UnitView:
        """All that is kept about a unit."""
        latest = _latest(self.store.entries(), layer)

        def rows(technique: str) -> list[dict[str, Any]]:
            if technique not in latest:
                return []
            table = self._table(latest[technique])
            return _records(table[table["unit"] == unit])

        statistics, samples = rows("statistics"), rows("samples")
        sheet = _sheet(latest["samples"], "samples") if samples else None
        known = self._rows(latest, layer)
        facts = next((row for row in known if row.unit == unit), None)
        pictures = self._drawn(layer, unit)
        return UnitView(
            unit=unit,
            facts=facts,
            histogram=[int(count) for count in statistics[0]["histogram"]] if statistics else [],
            samples=sheet,
            **{kind: _samples(samples, kind, sheet, latest) for kind in ("top", "middle", "weak")},
            winners=_winners(latest.get("winners"), unit, rows("winners")),
            words=[_word(row) for row in rows("words") if row["low"] > CHANCE],
            made=[made for _, made in pictures]
            + self._made(layer, "deep_dream", unit)
            + self._made(layer, "caricature", None),
            trust=_trust([row for row, made in pictures if made.technique == "channel"]),
            texts=self._texts(layer, unit),
            readings=_readings(rows("weights")),
            similar=[
                Similar(unit=int(row["other"]), correlation=float(row["correlation"]))
                for row in sorted(rows("similar"), key=lambda row: row["rank"])
            ],
        )

    def _table(self, entry: Entry) -> pd.DataFrame:
        return self._read(entry.key, entry.table)  # type: ignore[no-any-return]

    def _table_of(self, key: str, table: str) -> pd.DataFrame:
        return self.store.table(Entry(key=key, layer="", technique="", table=table))

    def _node(self, row: Mapping[str, Any], entries: Sequence[Entry]) -> LayerNode:
        name = str(row["layer"])
        return LayerNode(
            name=name,
            kind=str(row["kind"]),
            units=int(row["units"]),
            grid=_pair(row["positions"]),
            receptive_field=_pair(row["receptive_field"]),
            kept=sorted({_technique(entry) for entry in entries if entry.layer == name} & _SHOWN),
        )

    def _rows(self, latest: Mapping[str, Entry], layer: str) -> list[UnitRow]:
        if "statistics" not in latest:
            return []
        words: dict[int, dict[str, Any]] = {}
        if "words" in latest:
            table = self._table(latest["words"])
            best = table[table["low"] > CHANCE].drop_duplicates("unit")
            words = {int(row["unit"]): row for row in _records(best)}
        trust = {
            int(row["unit"]): _number(row["told_by_network"])
            for entry in self._pictures(layer)
            if entry.parameters["objective"] == "channel"
            for row in _records(self._table(entry))
            if "told_by_network" in row
        }
        rows = _records(self._table(latest["statistics"]))
        return [_unit_row(row, words.get(int(row["unit"])), trust.get(int(row["unit"]))) for row in rows]

    def _pictures(self, layer: str) -> list[Entry]:
        return [e for e in self.store.entries() if (e.layer, e.technique) == (layer, "activation_maximization")]

    def _drawn(self, layer: str, unit: int) -> list[tuple[dict[str, Any], Made]]:
        """The pictures made for a unit by ascent from noise, with their rows; of each kind those made last."""
        found: dict[str, list[tuple[dict[str, Any], Made]]] = {}
        for entry in self._pictures(layer):
            kind = str(entry.parameters["objective"])
            sheet = _sheet(entry, kind)
            if sheet.units is None or unit not in sheet.units:
                continue
            found[kind] = [
                (row, _made_picture(row, sheet, number))
                for number, row in enumerate(_records(self._table(entry)))
                if row["unit"] == unit
            ]
        return [each for pictures in found.values() for each in pictures]

    def _made(self, layer: str, technique: str, unit: int | None) -> list[Made]:
        """Pictures made from images."""
        name = {"deep_dream": "dream"}.get(technique, technique)
        return [
            Made(
                technique=name,
                sheet=_sheet(entry, name),
                picture=0,
                image=str(self._table(entry)["image"].iloc[0]),
                row=int(entry.parameters["row"]),
            )
            for entry in self.store.entries()
            if (entry.layer, entry.technique) == (layer, technique) and entry.parameters.get("unit") == unit
        ]

    def _texts(self, layer: str, unit: int) -> list[tuple[str, float]]:
        entries = [
            e
            for e in self.store.entries()
            if e.technique == "texts" and e.layer == layer and unit in e.parameters["units"]
        ]
        rows = _records(self._table(entries[-1])) if entries else []
        return [(str(row["text"]), float(row["score"])) for row in rows if row["unit"] == unit]


_SHOWN = {"dataset", "channel", "neuron", "negative", "diversity", "dream", "caricature", "text"}


def _technique(entry: Entry) -> str:
    if entry.technique == "activation_maximization":
        return str(entry.parameters["objective"])
    return {"samples": "dataset", "deep_dream": "dream", "texts": "text"}.get(entry.technique, entry.technique)


def _latest(entries: Sequence[Entry], layer: str) -> dict[str, Entry]:
    return {entry.technique: entry for entry in entries if entry.layer == layer}


def _sheet(entry: Entry, technique: str) -> Sheet:
    sprite, units = entry.sprite, entry.parameters.get("units")
    assert sprite is not None  # noqa: S101 (every technique that is shown as a sheet keeps pictures)
    each = {"samples": sprite.columns}.get(technique, int(entry.parameters.get("starts", 1)))
    return Sheet(
        key=entry.key,
        technique=technique,
        width=sprite.width,
        height=sprite.height,
        columns=sprite.columns,
        rows=sprite.rows,
        each=each,
        units=[int(unit) for unit in units] if units is not None else None,
    )


def _unit_row(row: Mapping[str, Any], word: Mapping[str, Any] | None, trust: float | None) -> UnitRow:
    return UnitRow(
        unit=int(row["unit"]),
        name=str(row["name"]),
        **{name: _number(row[name]) for name in ("low", "high", "mean", "active", "sparsity", "lifetime_sparsity")},
        wins=int(row["wins"]),
        dead=bool(row["dead"]),
        duplicate_of=int(row["duplicate_of"]) if row["duplicate_of"] >= 0 else None,
        word=str(word["word"]) if word else "",
        auroc=(_number(word["auroc"]), _number(word["low"]), _number(word["high"])) if word else None,
        purity=_number(word["purity"]) if word else None,
        trust=trust,
    )


def _samples(
    rows: Sequence[Mapping[str, Any]], kind: str, sheet: Sheet | None, latest: Mapping[str, Entry]
) -> list[SampleFacts]:
    if sheet is None:
        return []
    # Where images could not be read, places among all images are not those among the readable ones.
    same_places = not latest["samples"].facts.get("unreadable", 0)
    return [
        SampleFacts(
            picture=int(row["unit"]) * sheet.each + number,
            row=int(row["position"]) if same_places else None,
            image=str(row["image"]),
            label=str(row["label"]) if isinstance(row["label"], str) else "",
            value=_number(row["value"]),
        )
        for number, row in enumerate(rows)
        if row["kind"] == kind and row["position"] >= 0
    ]


def _winners(entry: Entry | None, unit: int, rows: Sequence[Mapping[str, Any]]) -> Made | None:
    if entry is None or not rows:
        return None
    most = float(rows[0]["most"])
    return Made(technique="winners", sheet=_sheet(entry, "winners"), picture=unit, activation=most)


def _made_picture(row: Mapping[str, Any], sheet: Sheet, number: int) -> Made:
    return Made(
        technique=sheet.technique,
        sheet=sheet,
        picture=number,
        activation=_number(row["activation"]),
        fraction=_number(row["fraction"]),
        converged=bool(row["converged"]),
        dead=bool(row["dead"]),
    )


def _word(row: Mapping[str, Any]) -> Word:
    numbers = ("auroc", "low", "high", "within_classes", "purity", "base_rate")
    return Word(word=str(row["word"]), column=str(row["column"]), **{name: _number(row[name]) for name in numbers})


def _trust(rows: Sequence[Mapping[str, Any]]) -> list[TrustNumber]:
    if not rows:
        return []
    facts, found = rows[0], []
    for name, text in TRUST.items():
        value = _number(facts.get(name))
        if value is None:
            continue
        compare = "1: alike, 0: as any two pictures"
        if name == "path":
            compare = "1: as they do, 0: as any image"
        elif name.startswith("told"):
            natural, chance = (facts[f"{name}_{kind}"] for kind in ("natural", "random"))
            compare = f"its strongest images: {natural:.0%}, other images: {chance:.0%}"
        found.append(TrustNumber(name=text, value=value, compare=compare))
    return found


def _readings(rows: Sequence[Mapping[str, Any]]) -> list[Reading]:
    by_reader: dict[str, list[Weight]] = {}
    for row in rows:
        by_reader.setdefault(str(row["reader"]), []).append(
            Weight(unit=int(row["other"]), name=str(row["name"]), weight=float(row["weight"]))
        )
    return [
        Reading(
            layer=reader,
            positive=sorted((w for w in weights if w.weight > 0), key=lambda w: -w.weight)[:8],
            negative=sorted((w for w in weights if w.weight < 0), key=lambda w: w.weight)[:8],
        )
        for reader, weights in by_reader.items()
    ]


def _pair(value: Any) -> tuple[int, int] | None:
    return (int(value[0]), int(value[1])) if value is not None and not isinstance(value, float) else None


def _number(value: Any) -> float | None:
    """A finite number; None for NaN, infinity and what is missing."""
    return float(value) if value is not None and math.isfinite(value) else None


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
