"""The part of `reliance.shortcut` that swaps channels of evidence, where objects are known or found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES, Limits, estimate
from deeptroubles.checks.reliance.shared.draw_rows import draw_rows
from deeptroubles.checks.reliance.shared.objects import FOUND
from deeptroubles.checks.reliance.shortcut.swap_pictures import crops, examples, place_map, place_words
from deeptroubles.checks.reliance.shortcut.swaps import (
    LOCATING,
    MAX_IMAGES,
    OTHERS,
    PARTS,
    TESTED,
    confirm,
    confirmation_of,
    find,
    pairs_for,
    rises_by_part,
    rows_of_large_classes,
    swap_all,
    swaps_of,
)
from deeptroubles.checks.wording import percent, plural, points, points_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Evidence, Finding, Heatmap, Heatmaps, ImageGrid, Verdict
from deeptroubles.methods.reliance.donor_swap import Moves, choose_donors
from deeptroubles.methods.reliance.shortcut_effects import Effects, located, named, shortcut_effects
from deeptroubles.methods.transforms.shared.scenery import GRID, WINDOW_WIDTH, WINDOWS
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean

LIMITS = Limits("how far the prediction moves", warn_at=0.05, fail_at=0.10, show=points)
SEARCHED = round(MAX_IMAGES / FOUND)
"""Objects are searched in at most this many images, so that enough are left."""
WORDS = {
    "background": "the background",
    "frame": "the frame",
    "high frequencies": "high frequencies",
    "color": "the color",
    "position": "the object's position",
    "inner texture": "the object's inner texture",
}
CRITERION = (
    "Fails if the 95% interval of the movement of the prediction to the donor's class, when one channel is swapped, "
    f"lies above {points(LIMITS.fail_at)} of probability (for all classes and channels together), warns if it lies "
    f"above {points(LIMITS.warn_at)}, and passes if all intervals lie at or below {points(LIMITS.fail_at)}. Inner "
    "texture only warns, and so does the background without masks if it moves the prediction more than the object. "
    f"Inconclusive otherwise, and with fewer than two classes of {MIN_IMAGES} images. The thresholds were set on "
    "planted networks (benchmarks/planted.py)."
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The results of the swaps.

    Attributes:
        class_names: The names of the classes in `effects`.
        effects: The effects of the channels and of the object (the last one), class by class.
        worst: Row and column of `effects` with the most significant effect.
        windows: Effect of each window of the background on the worst class, rows x columns.
        name: The cue, as a key of WORDS, or `window`.
        inserted: Probability of the worst class on images of other classes, unchanged, with the cue of an image of the
            class, and with that of an image of their own class, M x 3.
        removed: The same on images of the class, unchanged and without the cue, L x 2.
        examples: What the cue looks like, and images before and after.
        place: Where it is, if it has a fixed place.
    """

    class_names: tuple[str, ...]
    effects: Effects
    worst: tuple[int, int]
    windows: NDArray[np.float64]
    name: str
    inserted: NDArray[np.float64]
    removed: NDArray[np.float64]
    examples: tuple[ImageGrid, ...]
    place: Heatmap | None

    @property
    def class_name(self) -> str:
        """The class associated with the cue."""
        return self.class_names[self.worst[0]]

    @property
    def words(self) -> str:
        """The cue in words."""
        return f"a patch at the {place_words(located(self.windows))}" if self.name == "window" else WORDS[self.name]

    @property
    def object_effect(self) -> float:
        """How far the object alone moves the prediction to the worst class."""
        return float(self.effects.effect[self.worst[0], -1])

    def interval(self, row: int, column: int) -> Interval:
        """An effect; the intervals of all classes and channels hold together."""
        return self.effects.interval(row, column, len(self.effects.classes) * len(TESTED))

    @property
    def highest(self) -> float:
        """The upper end of all intervals."""
        rows, columns = range(len(self.effects.classes)), range(len(TESTED))
        return max(self.interval(r, c).high for r in rows for c in columns)


@dataclass(frozen=True, kw_only=True)
class Channels:
    """Which channel of evidence moves the prediction, for which class.

    Attributes:
        measured: None when nothing could be measured.
        given: Whether masks were given.
        used: How many images were used.
        left_out: In how many of the images that were searched the object was not found.
    """

    measured: Measured | None
    given: bool
    used: int
    left_out: int

    def finding(self) -> Finding | None:
        """The finding, if anything could be measured."""
        found = self.measured
        if found is None:
            return None
        effect = found.interval(*found.worst)
        verdict = self._verdict(found, effect)
        return Finding(
            check="reliance.shortcut",
            verdict=verdict,
            priority=1,
            severity=float(np.clip(effect.value, 0, 1)),
            claim=_claim(found, effect, verdict),
            criterion=CRITERION,
            evidence=self._evidence(found, effect),
            caveats=self._caveats(found),
        )

    def _verdict(self, found: Measured, effect: Interval) -> Verdict:
        if effect.low > LIMITS.fail_at:
            unclear = not self.given and found.name == "background" and found.object_effect < effect.value
            return Verdict.WARN if unclear or found.name == "inner texture" else Verdict.FAIL
        if effect.low > LIMITS.warn_at:
            return Verdict.WARN
        return Verdict.PASS if found.highest <= LIMITS.fail_at else Verdict.INCONCLUSIVE

    def _evidence(self, found: Measured, effect: Interval) -> list[Evidence]:
        name = found.class_name
        inserted, removed = mean(found.inserted[:, 1] - found.inserted[:, 2]), mean(-np.diff(found.removed)[:, 0])
        maps = (
            []
            if found.place is None
            else [
                Heatmaps(
                    title=f"Location: effect of each window of the background on {name}",
                    items=[found.place],
                    low=0.0,
                    high=max(0.01, float(found.windows.max())),
                    scale_label="increase of probability",
                )
            ]
        )
        return [
            LIMITS.estimate("How far the prediction moves", effect, self.used, "probability"),
            estimate(
                f"Inserted: increase for {name}, relative to a same-class control",
                inserted,
                len(found.inserted),
                "probability",
            ),
            estimate(f"Removed: decrease for {name}", removed, len(found.removed), "probability"),
            *found.examples,
            *maps,
            _by_class_and_channel(found),
        ]

    def _caveats(self, found: Measured) -> list[str]:
        masks = (
            "Objects are defined by the given masks."
            if self.given
            else f"No masks given: objects were located by unsupervised segmentation in {plural(self.used, 'image')}; "
            f"{plural(self.left_out, 'image')} in which two segmentations disagree not used. If the object does not "
            "stand out from the border, part of it may have been swapped with the background."
        )
        legitimate = "Inner texture may define the class (a zebra's stripes); that is for you to decide."
        return [
            masks,
            *([legitimate] if found.name == "inner texture" else []),
            "Swapped images look pasted; swaps within a class measure the effect of pasting, which is subtracted.",
            (
                f"At most {MAX_IMAGES} images with {OTHERS} donors each, drawn at random. The insertion and the "
                f"removal were measured on {len(found.inserted)} and {plural(len(found.removed), 'image')}."
            ),
        ]


def swap_channels(recording: Recording, engine: Engine, seed: int) -> Channels:
    """Swap channels between images whose objects have masks, or else are found in most images without masks."""
    given = len(recording.masked) > 0
    labelled = np.intersect1d(recording.labelled, recording.masked) if given else recording.labelled
    searched = known = labelled
    if not given:
        searched = draw_rows(labelled, recording.targets, SEARCHED, seed)
        found = engine.map(find, recording.subject, searched, task="Finding objects", chunk=120)["found"]
        known = searched[found] if len(searched) and found.mean() >= FOUND else searched[:0]
    rows = rows_of_large_classes(draw_rows(known, recording.targets, MAX_IMAGES, seed), recording.targets)
    measured = _measured(recording, engine, rows, given=given, seed=seed) if len(rows) else None
    return Channels(measured=measured, given=given, used=len(rows), left_out=len(searched) - len(known))


def _measured(recording: Recording, engine: Engine, rows: NDArray[np.int64], *, given: bool, seed: int) -> Measured:
    """Swap every channel, locate the most significant cue, and confirm it."""
    subject, targets = recording.subject, recording.targets[rows]
    donors = choose_donors(targets, OTHERS, seed)
    swaps = swaps_of(donors, rows)
    found = engine.map(swap_all, subject, swaps, task="Swapping channels", chunk=60, given=given)
    effects = shortcut_effects(Moves(**found), targets, targets[donors.others])
    row, column = _likeliest(effects)
    wanted = int(effects.classes[row])
    largest = pairs_for(targets, donors, wanted, (found["into"] - found["into_same"])[:, :, column])
    rises = engine.map(
        rises_by_part, subject, rows[largest].tolist(), task="Locating the cue", chunk=8, wanted=wanted, given=given
    )["rise"].mean(0)
    windows = rises[: len(WINDOWS)].reshape(GRID - WINDOW_WIDTH + 1, -1).astype(np.float64)
    parts = dict(zip(PARTS, rises[len(WINDOWS) :].tolist(), strict=True))
    name = named(dict(zip(TESTED, effects.effect[row].tolist(), strict=False)), parts, windows)
    pairs, own = rows[pairs_for(targets, donors, wanted)].tolist(), rows[targets == wanted][:LOCATING].tolist()
    cue: dict[str, Any] = {
        "channel": list(WINDOWS)[int(windows.argmax())] if name == "window" else name,
        "wanted": wanted,
        "given": given,
    }
    confirmed = engine.once(confirm, subject, task="Confirming the cue", pairs=pairs, own=own, **cue)
    shown = confirmation_of(subject, pairs, own, **cue)
    return Measured(
        class_names=tuple(subject.classifier.class_names[c] for c in effects.classes),
        effects=effects,
        worst=(row, column),
        windows=windows,
        name=name,
        inserted=confirmed["inserted"],
        removed=confirmed["removed"],
        examples=(crops(shown), *examples(shown, confirmed["inserted"], confirmed["removed"])),
        place=place_map(shown, windows) if name == "window" else None,
    )


def _likeliest(effects: Effects) -> tuple[int, int]:
    """The class and channel with the most significant effect; if none is significant, with the largest upper end."""
    rows, columns = len(effects.classes), len(TESTED)
    ends = np.array([[effects.interval(r, c, rows * columns)[1:] for c in range(columns)] for r in range(rows)])
    low, high = ends[..., 0], ends[..., 1]
    row, column = np.unravel_index(int(np.argmax(low if low.max() > LIMITS.warn_at else high)), (rows, columns))
    return int(row), int(column)


def _claim(found: Measured, effect: Interval, verdict: Verdict) -> str:
    moves, name = points_interval(effect), found.class_name
    alone = f"the object alone moves it by {points(found.object_effect)}"
    channel = f"{WORDS[TESTED[found.worst[1]]]}, moves the prediction to {name} by {moves}; {alone}."
    if verdict is Verdict.PASS:
        return f"No channel other than the object's shape has a large effect on the prediction; the largest, {channel}"
    if verdict is Verdict.INCONCLUSIVE:
        return f"Inconclusive: too few images to rule out a shortcut; the largest effect so far, {channel}"
    before, after, _ = found.inserted.mean(0)
    kept, lost = found.removed.mean(0)
    return (
        f"For {name}, the prediction relies on {found.words}, which moves it by {moves}: inserting it into other "
        f"images raises {name} from {percent(before)} to {percent(after)}, and removing it from images of {name} "
        f"lowers {name} from {percent(kept)} to {percent(lost)}; {alone}."
    )


def _by_class_and_channel(found: Measured) -> Heatmaps:
    """The effects of all channels on the dozen classes with the largest effects."""
    effect = np.maximum(found.effects.effect, 0)
    rows = np.argsort(-effect[:, : len(TESTED)].max(1), kind="stable")[:12]
    table = Heatmap(
        values=[[round(float(v), 4) for v in effect[r]] for r in rows],
        x_ticks=[*TESTED, "object"],
        y_ticks=[found.class_names[r] for r in rows],
        caption="mean of insertion and replacement; negative effects are shown as 0",
        alt="Movement of the prediction by class and channel",
    )
    return Heatmaps(
        title="Movement of the prediction, by class and channel",
        items=[table],
        low=0.0,
        high=max(0.1, float(effect.max())),
        scale_label="movement of probability",
    )
