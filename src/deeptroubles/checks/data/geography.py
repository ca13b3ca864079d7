"""data.geography: where do the images come from, and is accuracy similar across regions?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits, estimate
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval, plural
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, CountryValue, Evidence, Finding, Table, Verdict, WorldMap
from deeptroubles.images.decoding import gps_position
from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.geography.countries import countries
from deeptroubles.methods.geography.places import Places, places
from deeptroubles.methods.geography.spread import Spread, effective_number, log2_ratio, spread
from deeptroubles.recording import Recording
from deeptroubles.statistics.group_gap import GroupGap, largest_gap
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.statistics.multinomial import multinomial
from deeptroubles.subject import Subject

MAX_UNKNOWN = 0.50
LEVEL = 0.95
MIN_GROUP_TO_PASS = 100
"""Groups with fewer labelled images can fail the classifier, but are too small to rule a gap out."""
LIMITS = Limits(
    "the share of images that would have to come from other countries to match the world's internet users (total "
    "variation)",
    warn_at=0.25,
    fail_at=0.50,
    note="",
)
GAP = Limits(
    "the largest accuracy gap between regions, between income groups or between countries (all pairs together)",
    warn_at=0.10,
    fail_at=0.20,
    note="Countries alone do not make it inconclusive, and gaps of groups with fewer than "
    f"{MIN_GROUP_TO_PASS} labelled images are not ruled out. Also inconclusive with fewer than {MIN_GROUP} images of "
    f"a known country, or if the country of more than {percent(MAX_UNKNOWN)} is unknown. The thresholds are "
    "conventions.",
)
KINDS = {"region": "regions", "income": "income groups", "country": "countries"}
PUBLISHED = (("ImageNet (Shankar et al. 2017)", 0.45, 0.03), ("Open Images (Shankar et al. 2017)", 0.32, None))
"""Published approximate shares of images from the United States, and from China and India together."""
SCALE = 4.0
"""The map's colors end at 16 times as many and a sixteenth as many images."""


@dataclass(frozen=True, kw_only=True)
class RegionResult:
    """The labelled images of a region, an income group or a country, and how many are classified correctly."""

    name: str
    images: int
    correct: int

    @property
    def accuracy(self) -> Interval:
        """The accuracy of this group alone."""
        return wilson(self.correct, self.images)


@dataclass(frozen=True, kw_only=True)
class DataGeography:
    """Where images come from, and how accurate predictions are in each place.

    Attributes:
        images: How many images there are.
        places: The country of each.
        counts: The images of each country of the table, in its order.
        users: The distance to the distribution of internet users; None where no image has a place.
        people: Likewise, to that of all people.
        groups: For each kind (region, income, country), all groups with labelled images, the largest first.
        gaps: For each kind with two groups of at least 30 images, the largest accuracy gap between them. The upper end
            is for groups of at least 100, where there are two of them.
        classes: For each class with a placed image, its name and the counts of its countries.
    """

    images: int
    places: Places
    counts: NDArray[np.int64]
    users: Spread | None
    people: Spread | None
    groups: dict[str, tuple[RegionResult, ...]]
    gaps: dict[str, GroupGap]
    classes: tuple[tuple[str, NDArray[np.int64]], ...]

    @property
    def placed(self) -> int:
        """How many images have a country."""
        return int(self.counts.sum())

    @property
    def unknown(self) -> Interval:
        """The share of images whose country is unknown."""
        return wilson(self.images - self.placed, self.images)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if not self.places.given or self.users is None:
            claim = " ".join(
                ["Skipped: add a column `country`, or `lat` and `lon`, or photographs with GPS.", *self.places.remarks]
            )
            yield Finding(check="data.geography", verdict=Verdict.SKIPPED, claim=claim, criterion="")
            return
        away = self.users.distance
        gap = max((gap.size.low for gap in self.gaps.values()), default=0.0)
        yield Finding(
            check="data.geography",
            verdict=self._verdict(),
            severity=max(away.low, gap),
            claim=self._claim(),
            criterion=f"{LIMITS.criterion} {GAP.criterion} The worse verdict counts.",
            evidence=self._evidence(self.users),
            caveats=self._caveats(),
        )

    def _verdict(self) -> Verdict:
        assert self.users is not None  # noqa: S101
        if self.placed < MIN_GROUP or self.unknown.value > MAX_UNKNOWN:
            return Verdict.INCONCLUSIVE
        verdicts = [LIMITS.verdict(self.users.distance, self.placed)]
        for kind, gap in self.gaps.items():
            verdict = GAP.verdict(gap.size, MIN_GROUP)
            if kind != "country" or verdict != Verdict.INCONCLUSIVE:  # many countries never rule anything out
                verdicts.append(verdict)
        return min(verdicts, key=list(Verdict).index)

    def _claim(self) -> str:
        assert self.users is not None  # noqa: S101
        table, most = countries(), int(self.counts.argmax())
        inside = wilson(int(self.counts[most]), self.placed)
        their = float(table["internet"].iloc[most] / table["internet"].sum())
        claim = (
            f"{percent_interval(inside)} of the images come from {_within(table['name'].iloc[most])} (home of "
            f"{_little(their)} of the world's internet users), and {percent_interval(self.users.distance)} would have "
            "to come from elsewhere to match where internet users live"
        )
        if self.placed < MIN_GROUP or self.unknown.value > MAX_UNKNOWN:
            known = f"the country of {self.placed} of {plural(self.images, 'image')} is known"
            return f"Inconclusive: {known}; of these, {claim}."
        gap = self._gap_in_words()
        return f"{claim}; {gap}." if gap else f"{claim}."

    def _gap_in_words(self) -> str:
        """The most significant accuracy gap; '' where nothing could be compared."""
        if not self.gaps:
            return ""
        kind, gap = max(self.gaps.items(), key=lambda found: found[1].size.low)
        if gap.size.low == 0:
            return "accuracy does not differ significantly between regions, income groups or countries"
        large = [group for group in self.groups[kind] if group.images >= MIN_GROUP]
        worst, best = large[gap.worst], large[gap.best]
        return (
            f"accuracy is {percent(worst.accuracy.value)} on images from {_named(kind, worst.name)} and "
            f"{percent(best.accuracy.value)} on those from {_named(kind, best.name)}"
        )

    def _caveats(self) -> list[str]:
        known = [f"{count} by {source}" for source, count in self.places.sources.items()]
        assert self.users is not None  # noqa: S101
        caveats = [
            f"The country of {self.placed} of {plural(self.images, 'image')} is known ({', '.join(known)}).",
            *self.places.remarks,
            f"As many random images of internet users would be {percent(self.users.chance)} away by chance.",
            "This is not a problem if the classifier is meant for these places only.",
            (
                "The place a photo was taken may differ from the origin of its subject. Borders are approximate, to a "
                "few kilometers, and drawn as they are held."
            ),
            "Numbers of internet users and income groups are rounded, for about 2023; use them to compare shares.",
        ]
        if not self.gaps:
            caveats.append(
                f"Accuracy was not compared: fewer than two regions, income groups or countries have {MIN_GROUP} "
                "labelled images."
            )
        small = [
            group.name
            for kind in ("region", "income")
            if kind in self.gaps
            for group in self.groups[kind]
            if group.images < MIN_GROUP_TO_PASS
        ]
        if small:
            caveats.append(f"Too few labelled images to rule out a gap: {', '.join(small)}.")
        return caveats

    def _evidence(self, users: Spread) -> list[Evidence]:
        found: list[Evidence] = [
            LIMITS.estimate("Images from elsewhere needed to match internet users", users.distance, self.placed)
        ]
        if self.people is not None:
            found.append(estimate("The same, to match all people", self.people.distance, self.placed))
        found.append(estimate("Images whose country is unknown", self.unknown, self.images))
        for kind, gap in self.gaps.items():
            n = sum(group.images for group in self.groups[kind] if group.images >= MIN_GROUP)
            found.append(GAP.estimate(f"Largest accuracy gap between {KINDS[kind]}", gap.size, n))
        found += [self._share_map(), *self._accuracy_map(), self._compared(users), self._shares()]
        found += [self._group_table(kind) for kind in self.groups if self.groups[kind]]
        return [*found, *([self._class_table()] if self.classes else [])]

    def _share_map(self) -> WorldMap:
        rows = self._rows()
        values = [
            CountryValue(
                code=code,
                name=name,
                value=round(ratio.value, 3),
                note=f"{plural(count, 'image')}, {percent_interval(share)}; internet users {_little(their)}",
            )
            for code, count, name, share, their, _, ratio in rows
            if their > 0
        ]
        first = rows[0]
        return WorldMap(
            title="Where the images come from, compared with internet users",
            countries=values,
            scale_label="Share of the images over share of the world's internet users, in doublings (log2)",
            low=-SCALE,
            high=SCALE,
            diverging=True,
            absent="no images",
            caption="0: the same share of images as of internet users; 1: twice as much; −1: half as much. Colors end "
            f"at {SCALE:g} and −{SCALE:g}.",
            alt=f"World map of {len(values)} countries with images, most from {first[2]} ({percent(first[3].value)}).",
        )

    def _accuracy_map(self) -> list[WorldMap]:
        enough = [group for group in self.groups.get("country", ()) if group.images >= MIN_GROUP]
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
                note=f"{percent_interval(group.accuracy)} of {plural(group.images, 'image')} correct",
            )
            for group in enough
        ]
        low, high = min(ends), max(ends)
        return [
            WorldMap(
                title="Accuracy by country",
                countries=values,
                scale_label="accuracy",
                low=float(np.floor(20 * low - 1e-9)) / 20,
                high=float(np.ceil(20 * high)) / 20,
                absent=f"fewer than {MIN_GROUP} labelled images",
                caption="Single countries also differ by chance: look at their intervals.",
                alt=f"World map of {len(values)} countries, with accuracies from {percent(low)} to {percent(high)}.",
            )
        ]

    def _rows(self) -> list[tuple[str, int, str, Interval, float, float, Interval]]:
        """For each country with images: code, images, name, share, shares of users and of people, log2 ratio."""
        table = countries()
        there = np.flatnonzero(self.counts)
        order = there[np.argsort(-self.counts[there], kind="stable")]
        shares = multinomial(np.append(self.counts[order], 0))  # the last one is everywhere else
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
            Column(name="95% CI (all together)", kind="interval"),
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

    def _compared(self, users: Spread) -> Table:
        table = countries()
        columns = [
            Column(name="data set"),
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
            [f"{self.placed} random images of internet users", None, None, round(users.effective_by_chance, 1)],
            row("the world's internet users", table["internet"].to_numpy()),
            row("the world's people", table["population"].to_numpy()),
        ]
        rows += [[f"{name}, approximately", american, asian, None] for name, american, asian in PUBLISHED]
        return Table(title="Compared with the world and published data sets", columns=columns, rows=rows)

    def _group_table(self, kind: str) -> Table:
        columns = [
            Column(name=kind),
            Column(name="labelled images", kind="number"),
            Column(name="accuracy", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name=""),
        ]
        rows: list[list[Cell]] = []
        for group in self.groups[kind]:
            accuracy, enough = group.accuracy, group.images >= MIN_GROUP
            interval = [round(accuracy.low, 3), round(accuracy.high, 3)]
            rows.append(
                [
                    group.name,
                    group.images,
                    round(accuracy.value, 3) if enough else None,
                    interval if enough else None,
                    "" if enough else "too few images",
                ]
            )
        return Table(title=f"Accuracy by {kind}", columns=columns, rows=rows)

    def _class_table(self) -> Table:
        names = countries()["name"]
        columns = [
            Column(name="class"),
            Column(name="images of a known country", kind="number"),
            Column(name="most images from"),
            Column(name="share", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="effective number of countries", kind="number"),
        ]
        rows: list[list[Cell]] = []
        for name, counts in self.classes:
            total, most = int(counts.sum()), int(counts.argmax())
            share = wilson(int(counts[most]), total)
            row: list[Cell] = [name, total, None, None, None, None]
            if total >= MIN_GROUP:
                row[2:] = [
                    str(names.iloc[most]),
                    round(share.value, 3),
                    [round(share.low, 3), round(share.high, 3)],
                    round(float(effective_number(counts / total)), 1),
                ]
            rows.append(row)
        return Table(title="Countries of each class, the least balanced first", columns=columns, rows=rows)


@check("data.geography")
def geography(recording: Recording, engine: Engine, *, seed: int) -> DataGeography:
    """Where do the images come from, and is accuracy similar across regions?

    What it asks:
        Which countries do the images come from, and how does that compare with where the world's internet users (and
        all people) live, for all images and for each class? Is the classifier as accurate on images from one region,
        income group or country as on those from another? Countries come from a column `country` (codes of two or three
        letters, or names), from `lat` and `lon`, or from the GPS position in the files, in this order.

    Why it matters:
        Weddings, houses and soap look different elsewhere. About 45% of ImageNet is from the United States and 3% from
        China and India; networks trained on it are less accurate on images from poorer countries.

    How to read it:
        The first number is the share of images that would have to come from other countries to match the distribution
        of internet users: 0% is a perfect match, and few images never match exactly, so a caveat gives the number
        expected by chance. On the map, orange countries have more images than internet users, blue ones fewer, hatched
        ones none. The effective number of countries is the number of equally common ones with the same diversity.
        Accuracy gaps are between the best and the worst group of at least 30 labelled images; their intervals account
        for all pairs, and their upper ends are for groups of at least 100.

    Limits:
        Images without a place are left out, and they may differ. Few data sets should match internet users exactly: the
        question is whether yours matches the users of the classifier. A gap between regions can come from other
        classes, other cameras or worse labels there. Coordinates far from any coast are unknown.

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


def _gps(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Latitude and longitude of each image's file, NaN where it has none."""
    nothing = (float("nan"), float("nan"))
    found = [gps_position(subject.images.fetch(i)) or nothing for i in indices]
    return {"gps": np.array(found, dtype=np.float64).reshape(-1, 2)}


def _groups(recording: Recording, index: NDArray[np.int64]) -> dict[str, tuple[RegionResult, ...]]:
    """The labelled images with a country by region, by income and by country."""
    table = countries()
    rows = recording.labelled[index[recording.labelled] >= 0]
    correct = recording.predicted[rows] == recording.targets[rows]
    found = {}
    for kind, column in (("region", "region"), ("income", "income"), ("country", "name")):
        names = table[column].to_numpy(dtype=str)[index[rows]]
        groups = [
            RegionResult(name=str(name), images=int((names == name).sum()), correct=int(correct[names == name].sum()))
            for name in np.unique(names)
            if name
        ]
        found[kind] = tuple(sorted(groups, key=lambda group: -group.images))
    return found


def _gap(groups: Sequence[RegionResult]) -> GroupGap | None:
    """The largest accuracy gap; its upper end is that of the larger groups, where there are two of them."""
    large, many = ([group for group in groups if group.images >= least] for least in (MIN_GROUP, MIN_GROUP_TO_PASS))
    if len(large) < 2:
        return None
    gap = _between(large)
    if len(many) < 2:
        return gap
    return gap._replace(size=gap.size._replace(high=max(gap.size.value, _between(many).size.high)))


def _between(groups: Sequence[RegionResult]) -> GroupGap:
    correct, images = (np.array([getattr(group, name) for group in groups]) for name in ("correct", "images"))
    return largest_gap(correct, images, 1 - (1 - LEVEL) / len(KINDS))


def _classes(recording: Recording, index: NDArray[np.int64], size: int) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """The countries of each class with images of a known country; the least balanced first, too small ones last."""
    rows = recording.labelled[index[recording.labelled] >= 0]
    names = recording.subject.classifier.class_names
    found = [
        (names[k], np.bincount(index[rows[recording.targets[rows] == k]], minlength=size))
        for k in np.unique(recording.targets[rows])
    ]
    return tuple(sorted(found, key=lambda c: (c[1].sum() < MIN_GROUP, float(effective_number(c[1] / c[1].sum())))))


def _little(share: float) -> str:
    """A share that may be too small for a percentage, and is not 0."""
    return percent(share) if share >= 0.001 else "less than 0.1%"


def _within(name: str) -> str:
    """A country's name as it stands in a sentence."""
    article = name.startswith(("United ", "Netherlands", "Philippines", "Bahamas", "Maldives"))
    return f"the {name}" if article else name


def _named(kind: str, name: str) -> str:
    """A group as it stands in a sentence."""
    return {"income": f"countries of {name} income", "country": _within(name)}.get(kind, name)
