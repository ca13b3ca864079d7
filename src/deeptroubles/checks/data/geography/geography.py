"""data.geography: where do the images come from, and is accuracy similar across regions?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.data.geography import evidence
from deeptroubles.checks.data.geography.regions import KINDS, MIN_GROUP_TO_PASS, RegionResult, accuracy_gap, regions_of
from deeptroubles.checks.limits import Limits, estimate
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import listed, percent, percent_interval, plural, points
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Evidence, Finding, Verdict
from deeptroubles.images.decoding import gps_position
from deeptroubles.methods.fairness.by_group import MIN_GROUP
from deeptroubles.methods.geography.countries import countries
from deeptroubles.methods.geography.distribution_distance import (
    DistributionDistance,
    distribution_distance,
    effective_number,
)
from deeptroubles.methods.geography.places import Places, places
from deeptroubles.recording import Recording
from deeptroubles.statistics.group_gap import ShareGap
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject

NAME = "data.geography"
MAX_UNKNOWN = 0.50
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
    show=points,
    note="Countries alone do not make it inconclusive, and gaps of groups with fewer than "
    f"{MIN_GROUP_TO_PASS} labelled images are not ruled out.",
)
CRITERION = (
    f"The worse of two verdicts. Countries: {LIMITS.criterion} Accuracy: {GAP.criterion} Also inconclusive with fewer "
    f"than {MIN_GROUP} images of a known country, or if the country of more than {percent(MAX_UNKNOWN)} is unknown. "
    "The thresholds are conventions."
)


@dataclass(frozen=True)
class Nowhere:
    """The country of no image is known; `remarks` say why, where something was given."""

    remarks: Sequence[str]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        to_add = "Skipped: add a column `country`, or `lat` and `lon`, or photographs with GPS."
        claim = " ".join([to_add, *self.remarks])
        yield Finding(check=NAME, verdict=Verdict.SKIPPED, claim=claim, criterion="")


@dataclass(frozen=True, kw_only=True)
class DataGeography:
    """Where images come from, and how accurate predictions are in each place.

    Attributes:
        images: How many images there are.
        places: The country of each.
        counts: The images of each country of the table, in its order.
        users: The distance to the distribution of internet users.
        people: Likewise, to that of all people.
        regions: For each kind (region, income, country), all groups with labelled images, the largest first.
        gaps: For each kind with two groups of at least 30 images, the largest accuracy gap between them. The upper end
            is for groups of at least 100, where there are two of them.
        classes: For each class with a placed image, its name and the counts of its countries.
    """

    images: int
    places: Places
    counts: NDArray[np.int64]
    users: DistributionDistance
    people: DistributionDistance
    regions: dict[str, tuple[RegionResult, ...]]
    gaps: dict[str, ShareGap]
    classes: tuple[tuple[str, NDArray[np.int64]], ...]

    @property
    def placed(self) -> int:
        """How many images have a country."""
        return int(self.counts.sum())

    @property
    def unknown(self) -> Interval:
        """The share of images whose country is unknown."""
        return wilson(self.images - self.placed, self.images)

    @property
    def judged(self) -> bool:
        """Whether enough is known of where the images come from."""
        return self.placed >= MIN_GROUP and self.unknown.value <= MAX_UNKNOWN

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        gap = max((gap.size.low for gap in self.gaps.values()), default=0.0)
        yield Finding(
            check=NAME,
            verdict=self._verdict(),
            severity=max(self.users.distance.low, gap),
            claim=self._claim(),
            criterion=CRITERION,
            evidence=self._evidence(),
            caveats=self._caveats(),
        )

    def _verdict(self) -> Verdict:
        if not self.judged:
            return Verdict.INCONCLUSIVE
        verdicts = [LIMITS.verdict(self.users.distance, self.placed)]
        for kind, gap in self.gaps.items():
            verdict = GAP.verdict(gap.size, MIN_GROUP)
            if kind != "country" or verdict != Verdict.INCONCLUSIVE:  # many countries never rule anything out
                verdicts.append(verdict)
        return min(verdicts, key=list(Verdict).index)

    def _claim(self) -> str:
        table, largest = countries(), int(self.counts.argmax())
        share = wilson(int(self.counts[largest]), self.placed)
        users = float(table["internet"].iloc[largest] / table["internet"].sum())
        claim = (
            f"{percent_interval(share)} of the images come from {_with_article(table['name'].iloc[largest])} (home of "
            f"{evidence.small_percent(users)} of the world's internet users), and "
            f"{percent_interval(self.users.distance)} would have to come from elsewhere to match where internet users "
            "live"
        )
        if not self.judged:
            known = f"the country of {self.placed} of {plural(self.images, 'image')} is known"
            return f"Inconclusive: {known}. Among these, {claim}."
        gap = self._gap_in_words()
        return f"{claim}; {gap}." if gap else f"{claim}."

    def _gap_in_words(self) -> str:
        """The most significant accuracy gap; '' where nothing could be compared."""
        if not self.gaps:
            return ""
        kind, gap = max(self.gaps.items(), key=lambda found: found[1].size.low)
        if gap.size.low == 0:
            return "accuracy does not differ significantly between regions, income groups or countries"
        large = [region for region in self.regions[kind] if region.large]
        worst, best = large[gap.worst], large[gap.best]
        return (
            f"accuracy is {percent(worst.accuracy.value)} on images from {_in_words(kind, worst.name)} and "
            f"{percent(best.accuracy.value)} on those from {_in_words(kind, best.name)}"
        )

    def _caveats(self) -> list[str]:
        known = ", ".join(f"{count} from {source}" for source, count in self.places.sources.items())
        caveats = [
            f"The country of {self.placed} of {plural(self.images, 'image')} is known ({known}).",
            *self.places.remarks,
            (
                f"A random sample of {self.placed} internet users would differ from all of them by "
                f"{percent(self.users.chance)}."
            ),
            "This is not a problem if the classifier is meant for these places only.",
            "The place a photo was taken may differ from the origin of its subject.",
            "Borders are approximate, to a few kilometers, and follow actual control.",
            "Numbers of internet users and income groups are rounded, for about 2023; use them to compare shares.",
        ]
        if not self.gaps:
            caveats.append(
                f"Accuracy was not compared: fewer than two regions, income groups or countries have {MIN_GROUP} "
                "labelled images."
            )
        small = [
            region.name
            for kind in ("region", "income")
            if kind in self.gaps
            for region in self.regions[kind]
            if region.images < MIN_GROUP_TO_PASS
        ]
        return [*caveats, *([f"Too few labelled images to rule out a gap: {listed(small)}."] if small else [])]

    def _evidence(self) -> list[Evidence]:
        found: list[Evidence] = [
            LIMITS.estimate("Images from elsewhere needed to match internet users", self.users.distance, self.placed),
            estimate("Images from elsewhere needed to match all people", self.people.distance, self.placed),
            estimate("Images whose country is unknown", self.unknown, self.images),
        ]
        for kind, gap in self.gaps.items():
            count = sum(region.images for region in self.regions[kind] if region.large)
            found.append(GAP.estimate(f"Largest accuracy gap between {KINDS[kind]}", gap.size, count))
        shares = evidence.country_shares(self.counts)
        return [
            *found,
            evidence.share_map(shares),
            *evidence.accuracy_map(self.regions["country"]),
            evidence.comparison_table(self.counts, self.users.effective_by_chance),
            evidence.country_table(shares),
            *(evidence.region_table(kind, regions) for kind, regions in self.regions.items() if regions),
            *([evidence.class_table(self.classes)] if self.classes else []),
        ]


@check(NAME)
def geography(recording: Recording, engine: Engine, *, seed: int) -> DataGeography | Nowhere:
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
    if not counts.any():
        return Nowhere(found.remarks)
    users, people = (
        distribution_distance(counts, (table[name] / table[name].sum()).to_numpy(), seed=seed)
        for name in ("internet", "population")
    )
    regions = regions_of(recording, index)
    return DataGeography(
        images=len(index),
        places=found,
        counts=counts,
        users=users,
        people=people,
        regions=regions,
        gaps={kind: gap for kind, members in regions.items() if (gap := accuracy_gap(members)) is not None},
        classes=_classes(recording, index, len(table)),
    )


def _gps(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Latitude and longitude of each image's file, NaN where it has none."""
    nothing = (float("nan"), float("nan"))
    found = [gps_position(subject.images.fetch(i)) or nothing for i in indices]
    return {"gps": np.array(found, dtype=np.float64).reshape(-1, 2)}


def _classes(recording: Recording, index: NDArray[np.int64], size: int) -> tuple[tuple[str, NDArray[np.int64]], ...]:
    """The countries of each class with images of a known country; the least balanced first, too small ones last."""
    rows = recording.labelled[index[recording.labelled] >= 0]
    names = recording.subject.classifier.class_names
    found = [
        (names[k], np.bincount(index[rows[recording.targets[rows] == k]], minlength=size))
        for k in np.unique(recording.targets[rows])
    ]
    return tuple(sorted(found, key=lambda c: (c[1].sum() < MIN_GROUP, float(effective_number(c[1] / c[1].sum())))))


def _with_article(name: str) -> str:
    """A country's name as it stands in a sentence."""
    article = name.startswith(("United ", "Netherlands", "Philippines", "Bahamas", "Maldives"))
    return f"the {name}" if article else name


def _in_words(kind: str, name: str) -> str:
    """A region, income group or country as it stands in a sentence."""
    return {"income": f"countries with {name} income", "country": _with_article(name)}.get(kind, name)
