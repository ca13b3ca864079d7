"""data.geography."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import judge
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, CountryValue, Estimate, Evidence, Finding, Table, Verdict, WorldMap
from deeptroubles.images.decoding import gps_position
from deeptroubles.methods.geography.countries import countries
from deeptroubles.methods.geography.places import Places, places
from deeptroubles.methods.geography.spread import Spread, effective_number, log2_ratio, spread
from deeptroubles.recording import Recording
from deeptroubles.statistics.group_gap import Gap, largest_gap
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.statistics.multinomial import multinomial
from deeptroubles.subject import Subject

WARN_AT, FAIL_AT = 0.25, 0.50
GAP_WARN_AT, GAP_FAIL_AT = 0.10, 0.20
MOST_UNKNOWN = 0.50
FLOOR = 30
"""A country, region or class with fewer images than this is too few to say, and so are all images together."""
LEVEL = 0.95
MANY = 100
"""Groups with fewer labelled images can fail the classifier, but are too small to rule a gap out."""
KINDS = {"region": "regions", "income": "incomes", "country": "countries"}
PUBLISHED = (("ImageNet (Shankar et al. 2017)", 0.45, 0.03), ("Open Images (Shankar et al. 2017)", 0.32, None))
"""About what share is from the United States, and from China and India together, where it was published."""
SCALE = 4.0
"""The map's colours end at 16 times as many and a sixteenth as many images."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """The labelled images of a region, an income group or a country, and how many of them are answered right."""

    name: str
    images: int
    right: int

    @property
    def accuracy(self) -> Interval:
        """For this group alone."""
        return wilson(self.right, self.images)


@dataclass(frozen=True, kw_only=True)
class DataGeography:
    """Where images come from, and whether answers are as good everywhere.

    Attributes:
        images: How many images there are.
        places: The country of each.
        counts: Per country of the table, in its order.
        users: How far the images are from the spread of internet users; None where no image has a place.
        people: Likewise, of all people.
        groups: Per kind (region, income, country): all groups with labelled images, the largest first.
        gaps: Per kind with two groups of at least 30 images: the largest gap of accuracy between them. The upper end is
            for groups of at least 100, where there are two of them.
        classes: Per class with a placed image: name, and the counts of its countries.
    """

    images: int
    places: Places
    counts: NDArray[np.int64]
    users: Spread | None
    people: Spread | None
    groups: dict[str, tuple[Group, ...]]
    gaps: dict[str, Gap]
    classes: tuple[tuple[str, NDArray[np.int64]], ...]

    @property
    def placed(self) -> int:
        """How many images have a country."""
        return int(self.counts.sum())

    @property
    def unknown(self) -> Interval:
        """The share of images whose country is not known."""
        return wilson(self.images - self.placed, self.images)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.places.given or self.users is None:
            why = " ".join(self.places.remarks) or "add a column country, or lat and lon, or photographs with GPS."
            claim = f"Not asked: the country of none of the {self.images} images is known; {why}"
            yield Finding(check="data.geography", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        away = self.users.distance
        gap = max((gap.size.low for gap in self.gaps.values()), default=0.0)
        yield Finding(
            check="data.geography",
            verdict=self._verdict(),
            severity=max(away.low, gap),
            claim=self._claim(),
            criterion=f"Fails when more than {percent(FAIL_AT)} of the images would have to come from other countries "
            "to be spread as the world's internet users (total variation), or when accuracy differs by more than "
            f"{percent(GAP_FAIL_AT)} between two regions, incomes or countries; warns above {percent(WARN_AT)} and "
            f"{percent(GAP_WARN_AT)}; passes when more than {percent(FAIL_AT)}, and more than {percent(GAP_FAIL_AT)} "
            "between regions and between incomes, can be ruled out. All with 95 % confidence (the three gaps together, "
            "all their pairs included; what chance does to the spread of few images is allowed for); what groups of "
            f"fewer than {MANY} labelled images can hide is not ruled out. Inconclusive otherwise, with fewer than "
            f"{FLOOR} images of a known country, and where the country of more than {percent(MOST_UNKNOWN)} is not "
            "known. The thresholds are conventions.",
            evidence=self._evidence(self.users),
            caveats=self._caveats(),
        )

    def _verdict(self) -> Verdict:
        assert self.users is not None  # noqa: S101
        if self.placed < FLOOR or self.unknown.value > MOST_UNKNOWN:
            return Verdict.INCONCLUSIVE
        verdicts = [judge(self.users.distance, self.placed, warn_at=WARN_AT, fail_at=FAIL_AT)]
        for kind, gap in self.gaps.items():
            verdict = judge(gap.size, FLOOR, warn_at=GAP_WARN_AT, fail_at=GAP_FAIL_AT)
            if kind != "country" or verdict != Verdict.INCONCLUSIVE:  # many countries never rule anything out
                verdicts.append(verdict)
        return min(verdicts, key=list(Verdict).index)

    def _claim(self) -> str:
        assert self.users is not None  # noqa: S101
        table, most = countries(), int(self.counts.argmax())
        inside = wilson(int(self.counts[most]), self.placed)
        their = float(table["internet"].iloc[most] / table["internet"].sum())
        claim = (
            f"{percent_interval(inside)} of the images come from {_within(table['name'].iloc[most])}, where "
            f"{_little(their)} of the world's internet users live; {percent_interval(self.users.distance)} would have "
            "to come from elsewhere to be spread like them."
        )
        if self.placed < FLOOR or self.unknown.value > MOST_UNKNOWN:
            return f"Not judged: the country of {self.placed} of {self.images} images is known. Of these, {claim}"
        return f"{claim} {self._gap_in_words()}".strip()

    def _gap_in_words(self) -> str:
        """The most certain gap of accuracy; '' where nothing could be compared."""
        if not self.gaps:
            return ""
        kind, gap = max(self.gaps.items(), key=lambda found: found[1].size.low)
        if gap.size.low == 0:
            return "Accuracy differs between no two regions, incomes or countries for certain."
        large = [group for group in self.groups[kind] if group.images >= FLOOR]
        worst, best = large[gap.worst], large[gap.best]
        return (
            f"Answers are right on {percent(worst.accuracy.value)} of the images from {_named(kind, worst.name)}, on "
            f"{percent(best.accuracy.value)} of those from {_named(kind, best.name)}."
        )

    def _caveats(self) -> list[str]:
        known = [f"{count} by {source}" for source, count in self.places.sources.items()]
        assert self.users is not None  # noqa: S101
        told = f"The country of {self.placed} of {self.images} images is known ({', '.join(known)})."
        chance = f"As many images drawn from internet users would be {percent(self.users.chance)} away by chance."
        held = (
            "Where a photograph was taken need not be where what it shows is from. Borders are drawn as they are "
            "held, to a few kilometres."
        )
        said = [
            told,
            *self.places.remarks,
            chance,
            "There is no trouble where the classifier is meant for these places only.",
            held,
            "Numbers of internet users and income groups are rounded, for about 2023; they serve to compare shares.",
        ]
        if not self.gaps:
            said.append(
                f"Accuracy could not be compared: fewer than two regions, incomes or countries have {FLOOR} "
                "labelled images."
            )
        few = [
            group.name
            for kind in ("region", "income")
            if kind in self.gaps
            for group in self.groups[kind]
            if group.images < MANY
        ]
        if few:
            said.append(f"Too few labelled images to rule a gap out: {', '.join(few)}.")
        return said

    def _evidence(self, users: Spread) -> list[Evidence]:
        away, people = users.distance, self.people
        found: list[Evidence] = [
            Estimate(
                label="Images that would have to come from elsewhere to be spread as internet users",
                value=away.value,
                low=away.low,
                high=away.high,
                n=self.placed,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
        ]
        if people is not None:
            whole = people.distance
            found.append(
                Estimate(
                    label="The same, to be spread as all people",
                    value=whole.value,
                    low=whole.low,
                    high=whole.high,
                    n=self.placed,
                )
            )
        unknown = self.unknown
        found.append(
            Estimate(
                label="Images whose country is not known",
                value=unknown.value,
                low=unknown.low,
                high=unknown.high,
                n=self.images,
            )
        )
        for kind, gap in self.gaps.items():
            n = sum(group.images for group in self.groups[kind] if group.images >= FLOOR)
            found.append(
                Estimate(
                    label=f"Largest gap of accuracy between {KINDS[kind]}",
                    value=gap.size.value,
                    low=gap.size.low,
                    high=gap.size.high,
                    n=n,
                    warn_at=GAP_WARN_AT,
                    fail_at=GAP_FAIL_AT,
                )
            )
        found += [self._share_map(), *self._accuracy_map(), self._beside(users), self._shares()]
        found += [self._group_table(kind) for kind in self.groups if self.groups[kind]]
        return [*found, *([self._class_table()] if self.classes else [])]

    def _share_map(self) -> WorldMap:
        rows = self._rows()
        values = [
            CountryValue(
                code=code,
                name=name,
                value=round(ratio.value, 3),
                note=f"{count} image{'s' if count != 1 else ''}, {percent_interval(share)}; internet users "
                f"{_little(their)}",
            )
            for code, count, name, share, their, _, ratio in rows
            if their > 0
        ]
        first = rows[0]
        return WorldMap(
            title="Where the images come from, beside where internet users live",
            countries=values,
            scale_label="Share of the images over share of the world's internet users, in doublings (log2)",
            low=-SCALE,
            high=SCALE,
            diverging=True,
            absent="no images",
            caption="0 is as many images as internet users, 1 twice as many, −1 half as many. Colours end at "
            f"{SCALE:g} and −{SCALE:g}.",
            alt=f"World map of {len(values)} countries with images, most from {first[2]} ({percent(first[3].value)}).",
        )

    def _accuracy_map(self) -> list[WorldMap]:
        enough = [group for group in self.groups.get("country", ()) if group.images >= FLOOR]
        if len(enough) < 2:
            return []
        table = countries()
        code_of = dict(zip(table["name"], table.index, strict=True))
        ends = [group.accuracy.value for group in enough]
        values = [
            CountryValue(
                code=str(code_of[group.name]),
                name=group.name,
                value=group.accuracy.value,
                note=f"{percent_interval(group.accuracy)} of {group.images} images right",
            )
            for group in enough
        ]
        low, high = min(ends), max(ends)
        return [
            WorldMap(
                title="How often answers are right, by country",
                countries=values,
                scale_label="Share of right answers",
                low=float(np.floor(20 * low - 1e-9)) / 20,
                high=float(np.ceil(20 * high)) / 20,
                absent=f"fewer than {FLOOR} labelled images",
                caption="Numbers of single countries lie apart by chance, too: look at their intervals.",
                alt=f"World map of {len(values)} countries, with accuracies from {percent(low)} to {percent(high)}.",
            )
        ]

    def _rows(self) -> list[tuple[str, int, str, Interval, float, float, Interval]]:
        """Per country with images, most first: code, images, name, share, share of users and of people, log2 ratio."""
        table = countries()
        there = np.flatnonzero(self.counts)
        order = there[np.argsort(-self.counts[there], kind="stable")]
        shares = multinomial(np.append(self.counts[order], 0))  # the last one is anywhere else
        users, people = (table[name] / table[name].sum() for name in ("internet", "population"))
        return [
            (
                str(table.index[i]),
                int(self.counts[i]),
                str(table["name"].iloc[i]),
                share,
                float(users.iloc[i]),
                float(people.iloc[i]),
                log2_ratio(share, float(users.iloc[i])),
            )
            for i, share in zip(order, shares[:-1], strict=True)
        ]

    def _shares(self) -> Table:
        columns = [
            Column(name="country"),
            Column(name="images", kind="number"),
            Column(name="share", kind="share"),
            Column(name="95 % interval for all", kind="interval"),
            Column(name="internet users", kind="share"),
            Column(name="people", kind="share"),
            Column(name="doublings over users", kind="number"),
        ]
        rows: list[list[Cell]] = [
            [
                name,
                count,
                round(share.value, 4),
                [round(share.low, 4), round(share.high, 4)],
                round(users, 4),
                round(people, 4),
                round(ratio.value, 2),
            ]
            for _, count, name, share, users, people, ratio in self._rows()
        ]
        return Table(title="Countries of the images", columns=columns, rows=rows)

    def _beside(self, users: Spread) -> Table:
        table = countries()
        columns = [
            Column(name="what"),
            Column(name="United States", kind="share"),
            Column(name="China and India", kind="share"),
            Column(name="effective number of countries", kind="number"),
        ]

        def row(name: str, amounts: NDArray[Any]) -> list[Cell]:
            shares = amounts / amounts.sum()
            at = {code: float(shares[table.index.get_loc(code)]) for code in ("US", "CN", "IN")}
            return [name, round(at["US"], 4), round(at["CN"] + at["IN"], 4), round(float(effective_number(shares)), 1)]

        rows: list[list[Cell]] = [
            row("these images", self.counts),
            [f"{self.placed} images drawn from internet users", None, None, round(users.effective_by_chance, 1)],
            row("the world's internet users", table["internet"].to_numpy()),
            row("the world's people", table["population"].to_numpy()),
        ]
        rows += [[f"{name}, about", american, asian, None] for name, american, asian in PUBLISHED]
        return Table(title="Beside the world and published data sets", columns=columns, rows=rows)

    def _group_table(self, kind: str) -> Table:
        columns = [
            Column(name=kind),
            Column(name="labelled images", kind="number"),
            Column(name="right", kind="share"),
            Column(name="95 % interval", kind="interval"),
            Column(name=""),
        ]
        rows: list[list[Cell]] = []
        for group in self.groups[kind]:
            accuracy, enough = group.accuracy, group.images >= FLOOR
            interval = [round(accuracy.low, 3), round(accuracy.high, 3)]
            rows.append(
                [
                    group.name,
                    group.images,
                    round(accuracy.value, 3) if enough else None,
                    interval if enough else None,
                    "" if enough else "too few to say",
                ]
            )
        return Table(title=f"Right answers by {kind}", columns=columns, rows=rows)

    def _class_table(self) -> Table:
        names = countries()["name"]
        columns = [
            Column(name="class"),
            Column(name="images of a known country", kind="number"),
            Column(name="most from"),
            Column(name="share", kind="share"),
            Column(name="95 % interval", kind="interval"),
            Column(name="effective number of countries", kind="number"),
        ]
        rows: list[list[Cell]] = []
        for name, counts in self.classes:
            total, most = int(counts.sum()), int(counts.argmax())
            share = wilson(int(counts[most]), total)
            row: list[Cell] = [name, total, None, None, None, None]
            if total >= FLOOR:
                row[2:] = [
                    str(names.iloc[most]),
                    round(share.value, 3),
                    [round(share.low, 3), round(share.high, 3)],
                    round(float(effective_number(counts / total)), 1),
                ]
            rows.append(row)
        return Table(title="Countries of each class, the most uneven first", columns=columns, rows=rows)


@check("data.geography")
def geography(recording: Recording, engine: Engine, *, seed: int) -> DataGeography:
    """Where do the images come from, and is it as often right everywhere?

    What it asks:
        Which countries do the images come from, how does that compare with where the world's internet users (and all
        people) live, for all images and for each class; and is the classifier right as often on images from one
        region, income group or country as on those from another? Countries come from a column `country` (codes of two
        or three letters, or names), from `lat` and `lon`, or from the GPS position in the files, in this order.

    Why it matters:
        Weddings, houses and soap look different elsewhere. Of ImageNet about 45 % is from the United States and 3 %
        from China and India; networks trained on it are less often right on pictures from poorer countries.

    How to read it:
        The first number is the share of the images that would have to come from other countries to be spread as
        internet users: 0 % is the same spread, and few images are never quite there, so the number that chance gives
        stands beside it. On the map, orange countries have more images than internet users, blue ones fewer, hatched
        ones none. The effective number of countries is how many equally common ones would be as varied. Gaps of
        accuracy are between the best and the worst group of at least 30 labelled images; their intervals allow for
        having looked at all pairs, and end where groups of at least 100 do.

    Limits:
        Images without a place are left out, and they may differ. Few sets of images should be spread as internet users
        are: the question is whether yours is spread as those who will use the classifier. A gap between regions can
        come from other classes, other cameras or worse labels there. Coordinates far from any coast are unknown.

    References:
        S. Shankar et al., No classification without representation, 2017 (shares of ImageNet and Open Images).

        T. DeVries et al., Does object recognition work for everyone?, CVPR Workshops 2019.

        L. A. Goodman, On simultaneous confidence intervals for multinomial proportions, Technometrics 1965.

        Borders: Natural Earth 4.1, by world-atlas; people: Unicode CLDR 48.2; internet users: rounded, about 2023.
    """
    subject = recording.subject
    gps = engine.map(_gps, subject, range(len(subject.images)), task="Reading GPS positions", chunk=256)["gps"]
    found = places(subject.images.table, gps)
    table = countries()
    index = np.array([table.index.get_loc(code) if code else -1 for code in found.codes], dtype=np.int64)
    counts = np.bincount(index[index >= 0], minlength=len(table))
    users, people = (
        spread(counts, (table[name] / table[name].sum()).to_numpy(), seed=seed) if counts.sum() else None
        for name in ("internet", "population")
    )
    groups = _groups(recording, index)
    gaps = {kind: gap for kind, members in groups.items() if (gap := _gap(members)) is not None}
    return DataGeography(
        images=len(index),
        places=found,
        counts=counts,
        users=users,
        people=people,
        groups=groups,
        gaps=gaps,
        classes=_classes(recording, index, len(table)),
    )


def _gps(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    """Latitude and longitude of each image's file, NaN where it has none."""
    nothing = (float("nan"), float("nan"))
    found = [gps_position(subject.images.fetch(i)) or nothing for i in indices]
    return {"gps": np.array(found, dtype=np.float64).reshape(-1, 2)}


def _groups(recording: Recording, index: NDArray[np.int64]) -> dict[str, tuple[Group, ...]]:
    """The labelled images with a country by region, by income and by country."""
    table = countries()
    rows = recording.labelled[index[recording.labelled] >= 0]
    right = recording.predicted[rows] == recording.targets[rows]
    found = {}
    for kind, column in (("region", "region"), ("income", "income"), ("country", "name")):
        names = table[column].to_numpy(dtype=str)[index[rows]]
        groups = [
            Group(name=str(name), images=int((names == name).sum()), right=int(right[names == name].sum()))
            for name in np.unique(names)
            if name
        ]
        found[kind] = tuple(sorted(groups, key=lambda group: -group.images))
    return found


def _gap(groups: Sequence[Group]) -> Gap | None:
    """The largest gap of accuracy; its upper end is that of the larger groups, where there are two of them."""
    large, many = ([group for group in groups if group.images >= least] for least in (FLOOR, MANY))
    if len(large) < 2:
        return None
    gap = _between(large)
    if len(many) < 2:
        return gap
    return gap._replace(size=gap.size._replace(high=max(gap.size.value, _between(many).size.high)))


def _between(groups: Sequence[Group]) -> Gap:
    right, images = (np.array([getattr(group, name) for group in groups]) for name in ("right", "images"))
    return largest_gap(right, images, 1 - (1 - LEVEL) / len(KINDS))


def _classes(recording: Recording, index: NDArray[np.int64], size: int) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """The countries of each class with images of a known country; the most uneven classes first, too few last."""
    rows = recording.labelled[index[recording.labelled] >= 0]
    names = recording.subject.classifier.class_names
    found = [
        (names[k], np.bincount(index[rows[recording.targets[rows] == k]], minlength=size))
        for k in np.unique(recording.targets[rows])
    ]
    return tuple(sorted(found, key=lambda c: (c[1].sum() < FLOOR, float(effective_number(c[1] / c[1].sum())))))


def _little(share: float) -> str:
    """A share that may be too small for a percentage, and is not 0."""
    return percent(share) if share >= 0.001 else "fewer than 0.1 %"


def _within(name: str) -> str:
    """A country's name as it stands in a sentence."""
    article = name.startswith(("United ", "Netherlands", "Philippines", "Bahamas", "Maldives"))
    return f"the {name}" if article else name


def _named(kind: str, name: str) -> str:
    """A group as it stands in a sentence."""
    return {"income": f"countries of {name} income", "country": _within(name)}.get(kind, name)
