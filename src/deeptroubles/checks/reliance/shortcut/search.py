"""The part of `reliance.shortcut` that searches images for patches and treatments, and tests what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.checks.limits import MIN_IMAGES, Limits, estimate
from deeptroubles.checks.reliance.shared.draw_rows import draw_rows
from deeptroubles.checks.reliance.shortcut.candidates import FIXED, Candidate, find_patches, find_treatments, unpacked
from deeptroubles.checks.reliance.shortcut.found_cues import names_of
from deeptroubles.checks.reliance.shortcut.interventions import control_names, insert_all, remove_all, strongest_control
from deeptroubles.checks.reliance.shortcut.power import SHARES, power
from deeptroubles.checks.reliance.shortcut.search_pictures import carriers, insertions, place_of, removals
from deeptroubles.checks.wording import listed, percent, plural, points, points_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Evidence, Finding, Table, Verdict
from deeptroubles.methods.reliance.treatments import TREATMENTS
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean

MAX_IMAGES = 400
SAME_PLACE = 0.2
"""Patches of different classes are one shortcut if their places overlap by this intersection over union."""
LISTED = 60
LIMITS = Limits(
    "how far a patch or treatment that is typical of one class moves the prediction to this class (probability, "
    "relative to the strongest control; for all candidates together)",
    warn_at=0.05,
    fail_at=0.10,
    note="A patch's effect is the mean of pasting it in and taking it out. The thresholds were set on planted networks "
    "(benchmarks/photos.py).",
    show=points,
)


@dataclass(frozen=True)
class Tested:
    """A candidate with the probabilities of its class in images with and without it.

    Attributes:
        candidate: What was tested.
        item: The same as plain values.
        class_name: Its class.
        of: The number of searched images of its class.
        inserted: M x V, images of other classes unchanged, with the candidate, and with each control.
        recipients: M, their rows.
        kept: The probability of the class in its images, one for each of the candidate's rows.
        removed: L x 3, its images unchanged, without it, and without an equal area elsewhere; L is 0 for treatments.
        controls: Names of the controls.
    """

    candidate: Candidate
    item: dict[str, Any]
    class_name: str
    of: int
    inserted: NDArray[np.float64]
    recipients: NDArray[np.int64]
    kept: NDArray[np.float64]
    removed: NDArray[np.float64]
    controls: tuple[str, ...]

    @property
    def control(self) -> int:
        """The column of `inserted` with the strongest control."""
        return strongest_control(self.inserted)

    @property
    def rise(self) -> NDArray[np.float64]:
        """How much more the candidate raises its class than the strongest control does, M."""
        return np.asarray(self.inserted[:, 1] - self.inserted[:, self.control])

    @property
    def fall(self) -> NDArray[np.float64]:
        """How much more removal lowers its class than removal of an equal area elsewhere does, L."""
        return np.asarray(self.removed[:, 2] - self.removed[:, 1])

    def effect(self, comparisons: int) -> Interval:
        """The mean of rise and fall, or the rise where insertion shows nothing or there is no removal."""
        level = 1 - 0.05 / comparisons
        rise = mean(self.rise, level)
        if len(self.fall) < MIN_IMAGES // 2 or rise.low <= 0:
            return rise
        parts = (self.rise, self.fall)
        value = float(np.mean([part.mean() for part in parts]))
        error = float(np.sqrt(sum(part.var(ddof=1) / len(part) for part in parts))) / 2
        reach = float(stats.t.ppf((1 + level) / 2, min(map(len, parts)) - 1)) * error
        return Interval(value, value - reach, value + reach)

    @property
    def carriers(self) -> list[tuple[int, float, float]]:
        """The rows of its images, with the probability of its class unchanged and (NaN: not measured) without it."""
        unmeasured = [np.nan] * (len(self.candidate.rows) - len(self.removed))
        return list(
            zip(self.candidate.rows, self.kept.tolist(), [*self.removed[:, 1].tolist(), *unmeasured], strict=True)
        )

    @property
    def words(self) -> str:
        """The candidate as a noun phrase."""
        if not self.candidate.is_patch:
            return self.candidate.name
        if self.candidate.name == FIXED:
            return f"the same patch ({place_of(self.candidate.masks[0])})"
        return "the same patch (at varying places)"

    def is_like(self, other: Tested) -> bool:
        """Whether two candidates are one shortcut: the same images, the same place, or the same sort of treatment."""
        mine, its = self.candidate, other.candidate
        if mine.same_as(its):
            return True
        if mine.is_patch != its.is_patch:
            return False
        if not mine.is_patch:
            return TREATMENTS[mine.name].sort == TREATMENTS[its.name].sort
        if FIXED not in {mine.name, its.name}:
            return True
        both, either = mine.masks[0] & its.masks[0], mine.masks[0] | its.masks[0]
        return mine.name == its.name and bool(both.sum() >= SAME_PLACE * either.sum())


@dataclass(frozen=True)
class Search:
    """What was found, and how far it moves the prediction.

    Attributes:
        tested: All candidates.
        images: The number of images that were searched.
        classes: The number of their classes.
        smallest: The smallest share of a class on which a planted patch, and planted blur, was noticed (inf: on none);
            None where a shortcut was found, so that it was not measured.
        recording: To show images.
        seed: As in the test.
    """

    tested: tuple[Tested, ...]
    images: int
    classes: int
    smallest: tuple[float, float] | None
    recording: Recording
    seed: int

    def verdict(self, tested: Tested) -> Verdict:
        """The verdict about one candidate."""
        return LIMITS.verdict(tested.effect(len(self.tested)), len(tested.rise))

    @property
    def shortcuts(self) -> list[list[Tested]]:
        """Groups of candidates that fail or warn, the largest effect first; those of a group are one shortcut."""
        effective = [t for t in self.tested if self.verdict(t) in {Verdict.FAIL, Verdict.WARN}]
        shortcuts: list[list[Tested]] = []
        for each in sorted(effective, key=lambda t: -t.effect(len(self.tested)).low):
            known = next((group for group in shortcuts if any(t.is_like(each) for t in group)), None)
            if known is None:
                shortcuts.append([each])
            else:
                known.append(each)
        return shortcuts

    @property
    def cues(self) -> dict[str, Tested]:
        """What can be kept, by name: the first candidate of each class in each shortcut, if it can be drawn."""
        if self.recording.subject.classifier.channels not in {1, 3}:
            return {}
        return names_of(
            tested
            for group in self.shortcuts
            for i, tested in enumerate(group)
            if tested.class_name not in {earlier.class_name for earlier in group[:i]}
        )

    def findings(self) -> list[Finding]:
        """A finding for each shortcut, or one that says what was looked for."""
        return [self._finding(group) for group in self.shortcuts] or [self._nothing()]

    def _finding(self, group: list[Tested]) -> Finding:
        names = [name for name, tested in self.cues.items() if tested is group[0]]
        first, effect = group[0], group[0].effect(len(self.tested))
        return Finding(
            check="reliance.shortcut",
            verdict=self.verdict(first),
            priority=1,
            severity=float(np.clip(effect.value, 0, 1)),
            claim=_claim(group, effect),
            criterion=LIMITS.criterion,
            evidence=self._evidence(first, effect),
            caveats=[
                "Candidates were found in the pixels and labels, without the network; the test is independent of that.",
                "The controls change an image as much without showing the candidate; the strongest one is subtracted.",
                *(f"The run folder keeps it; --cue run:FOLDER/{name} tests it in another audit." for name in names),
            ],
        )

    def _evidence(self, first: Tested, effect: Interval) -> list[Evidence]:
        name = first.class_name
        subject = self.recording.subject
        parts: list[Evidence] = [
            LIMITS.estimate("How far the prediction moves", effect, len(first.rise), "probability"),
            estimate(
                f"Inserted: increase for {name}, relative to the control",
                mean(first.rise),
                len(first.rise),
                "probability",
            ),
        ]
        if len(first.fall):
            parts.append(
                estimate(
                    f"Removed: decrease for {name}, relative to removal elsewhere",
                    mean(first.fall),
                    len(first.fall),
                    "probability",
                )
            )
        shown = [carriers(subject, first)]
        shown += insertions(subject, first, self.seed)
        shown += removals(subject, first)
        return [*parts, *shown, self._images(first), self.table]

    def _images(self, tested: Tested) -> Table:
        """The images that carry the candidate, with the probability of its class."""
        paths = self.recording.subject.images.table["path"]
        cells: list[list[Cell]] = [
            [str(paths.iloc[row]), round(kept, 4), None if np.isnan(without) else round(without, 4)]
            for row, kept, without in tested.carriers[:LISTED]
        ]
        columns = [
            Column(name="image"),
            Column(name=f"probability of {tested.class_name}", kind="probability"),
            Column(name="without it", kind="probability"),
        ]
        columns = columns if len(tested.removed) else columns[:2]
        return Table(title="Images that carry it", columns=columns, rows=[row[: len(columns)] for row in cells])

    @property
    def table(self) -> Table:
        """All candidates that were tested."""
        columns = [
            Column(name="candidate"),
            Column(name="class"),
            Column(name="its images", kind="number"),
            Column(name="of", kind="number"),
            Column(name="unchanged", kind="probability"),
            Column(name="with it", kind="probability"),
            Column(name="strongest control", kind="probability"),
            Column(name="effect", kind="probability"),
            Column(name="95% CI (all together)", kind="interval"),
        ]
        rows: list[list[Cell]] = []
        for each in sorted(self.tested, key=lambda t: -t.effect(len(self.tested)).low):
            effect, means = each.effect(len(self.tested)), each.inserted.mean(0)
            rows.append(
                [
                    each.words,
                    each.class_name,
                    len(each.candidate.rows),
                    each.of,
                    round(float(means[0]), 4),
                    round(float(means[1]), 4),
                    round(float(means[each.control]), 4),
                    round(effect.value, 4),
                    [effect.low, effect.high],
                ]
            )
        return Table(
            title="What was found in one class more than in the others, and tested", columns=columns, rows=rows
        )

    def _nothing(self) -> Finding:
        """The finding where there is no shortcut: a pass if the search would have noticed one."""
        verdict, reason = Verdict.PASS, ""
        undecided = [t for t in self.tested if self.verdict(t) is Verdict.INCONCLUSIVE]
        patch, blur = self.smallest or (np.inf, np.inf)
        if undecided:
            first = undecided[0]
            verdict = Verdict.INCONCLUSIVE
            reason = (
                f"Inconclusive: more images are needed to tell whether {first.words} moves the prediction to "
                f"{first.class_name}. "
            )
        elif np.isinf(patch):
            verdict = Verdict.INCONCLUSIVE
            reason = "Inconclusive: with so few images not even a patch on all images of a class would be noticed. "
        power = (
            f" The search would have noticed {_noticed(patch, blur)} of the images of a class." if patch <= 1 else ""
        )
        where = f"{plural(self.images, 'image')} of {plural(self.classes, 'class', 'classes')}"
        return Finding(
            check="reliance.shortcut",
            verdict=verdict,
            priority=1,
            claim=f"{reason}{self._largest(where)}{power}",
            criterion=LIMITS.criterion,
            evidence=[self.table] if self.tested else [],
            caveats=[
                (
                    "Looked for: patches at one place or at varying places, and treatments of the whole image "
                    f"({listed(list(TREATMENTS))}), in one class more often than in others. Not looked for: the "
                    "scenery behind the object, and anything that all classes share."
                )
            ],
        )

    def _largest(self, where: str) -> str:
        if not self.tested:
            return f"No patch and no treatment of the image is typical of one class ({where})."
        first = max(self.tested, key=lambda t: t.effect(len(self.tested)).value)
        effect = first.effect(len(self.tested))
        return (
            f"Of {plural(len(self.tested), 'candidate')} for a shortcut in {where}, the one with the largest effect, "
            f"{first.words} in images of {first.class_name}, moves the prediction by {_moves(effect)}."
        )


def _noticed(patch: float, blur: float) -> str:
    if patch == blur:
        return f"a patch or blur on {percent(patch)}"
    return f"a patch on {percent(patch)}" + (f" and blur on {percent(blur)}" if blur <= 1 else "")


def _moves(effect: Interval) -> str:
    """How far the prediction moves; intervals of few images can reach beyond what is possible."""
    return points_interval(Interval(*np.clip(effect, -1, 1).tolist()))


def _claim(group: list[Tested], effect: Interval) -> str:
    first = group[0]
    name, (before, after) = first.class_name, first.inserted[:, :2].mean(0)
    controlled = float(first.inserted[:, first.control].mean())
    control = first.controls[first.control - 2] if first.control >= 2 else ""
    has, putting, taking = "show", "applying it to", ""
    if first.candidate.is_patch:
        has, putting = "have", "pasting it into"
        if len(first.removed):
            kept, lost = first.removed[:, :2].mean(0)
            taking = f"; removing it lowers {name} from {percent(kept)} to {percent(lost)}"
    else:
        control = f"equally strong {control}" if not control.startswith("a ") else f"{control} of equal strength"
    against = f", {control} to {percent(controlled)}" if first.control >= 2 else ""
    claim = (
        f"{len(first.candidate.rows)} of {plural(first.of, 'image')} of {name} {has} {first.words}, and the prediction "
        f"relies on it: {putting} images of other classes raises {name} from {percent(before)} to {percent(after)}"
        f"{against}{taking}; relative to controls, the prediction moves by {_moves(effect)}."
    )
    others = sorted({t.class_name for t in group[1:]} - {name})
    alike = "Treatments of the same sort"
    if first.candidate.is_patch:
        alike = "Patches at the same place" if first.candidate.name == FIXED else "Other patches"
    return f"{claim} {alike} do the same for {listed(others, most=4)}." if others else claim


def search(recording: Recording, engine: Engine, seed: int) -> Search | None:
    """Search the labelled images, and test what was found; None with fewer than two classes of MIN_IMAGES images."""
    rows = draw_rows(recording.labelled, recording.targets, MAX_IMAGES, seed)
    classes, counts = np.unique(recording.targets[rows], return_counts=True)
    if (counts >= MIN_IMAGES).sum() < 2 or min(recording.subject.classifier.size) < 2 * 8:
        return None
    subject, pool = recording.subject, rows.tolist()
    masked = np.intersect1d(rows, recording.masked).tolist()
    patches = engine.once(find_patches, subject, task="Searching for patches", rows=pool, masked=masked)
    treatments = engine.once(find_treatments, subject, task="Searching for treatments", rows=pool)
    candidates = unpacked(patches, treatments)
    tested = _tested(recording, engine, candidates, pool, seed)
    found = Search(tested, len(rows), len(classes), None, recording, seed)
    if found.shortcuts:
        return found
    measured = engine.once(power, subject, task="Measuring the power of the search", rows=pool, seed=seed)["noticed"]
    smallest = tuple(float(min(np.array(SHARES)[part], default=np.inf)) for part in measured)
    return Search(tested, len(rows), len(classes), (smallest[0], smallest[1]), recording, seed)


def _tested(
    recording: Recording, engine: Engine, candidates: Sequence[Candidate], pool: list[int], seed: int
) -> tuple[Tested, ...]:
    if not candidates:
        return ()
    subject = recording.subject
    items = []
    for each in candidates:
        excluded = [other.name for other in candidates if other.same_as(each)]
        items.append({**each.item, "excluded": sorted(set(excluded))})
    inserted = engine.map(insert_all, subject, items, task="Pasting candidates", chunk=1, pool=pool, seed=seed)
    removed = engine.map(remove_all, subject, items, task="Removing candidates", chunk=1)["probability"]
    targets, names = recording.targets[pool], subject.classifier.class_names
    found = []
    for i, (candidate, item) in enumerate(zip(candidates, items, strict=True)):
        shown = ~np.isnan(inserted["probability"][i][:, 0])
        found.append(
            Tested(
                candidate=candidate,
                item=item,
                class_name=names[candidate.target],
                of=int((targets == candidate.target).sum()),
                inserted=inserted["probability"][i][shown],
                recipients=inserted["recipients"][i][shown],
                kept=recording.probabilities[list(candidate.rows), candidate.target],
                removed=removed[i][~np.isnan(removed[i][:, 0])],
                controls=tuple(control_names(item, subject.classifier.channels)),
            )
        )
    return tuple(t for t in found if len(t.inserted) >= MIN_IMAGES)
