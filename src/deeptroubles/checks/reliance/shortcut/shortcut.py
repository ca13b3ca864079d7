"""reliance.shortcut."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.limits import MIN_IMAGES
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.shortcut.pictures import Cast, pieces, place_map, place_words, stories
from deeptroubles.checks.reliance.shortcut.swaps import (
    CUES,
    LOCATING,
    MOST,
    OTHERS,
    PARTS,
    draw_rows,
    find,
    pairs_for,
    rises_by_part,
    rows_of_large_classes,
    scenery_of,
    swaps,
)
from deeptroubles.checks.wording import percent
from deeptroubles.engine import Engine
from deeptroubles.findings import Estimate, Evidence, Finding, Heatmap, Heatmaps, ImageGrid, Verdict
from deeptroubles.methods.reliance.donor_swap import Moves, choose_donors
from deeptroubles.methods.reliance.shortcut_effects import Effects, located, named, shortcut_effects
from deeptroubles.methods.transforms.shared.neutralise import neutralise
from deeptroubles.methods.transforms.swap import STEPS, WIDE, WINDOWS, swap
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean
from deeptroubles.subject import logits_of

WARN_AT, FAIL_AT = 0.05, 0.10
WORDS = {
    "background": "the background",
    "frame": "the frame",
    "high frequencies": "high frequencies",
    "colour": "the colour",
    "position": "the object's position",
    "inner texture": "the object's inner texture",
}
CRITERION = (
    f"Fails when swapping one channel moves the answer towards the donor's class by more than {100 * FAIL_AT:.0f} "
    "points of probability with 95 % confidence for all classes and channels at once, warns above "
    f"{100 * WARN_AT:.0f}, passes when more than {100 * FAIL_AT:.0f} can be ruled out for all. Inner texture only "
    "warns, and so does the background without masks when it moves the answer more than the object; inconclusive "
    f"otherwise, and with fewer than two classes of {MIN_IMAGES} images. Set on planted networks (benchmarks/planted.py)."
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the swaps showed.

    Attributes:
        class_names: Of the classes in `effects`.
        effects: Of the cues and the object (the last channel), class by class.
        worst: Row and column of `effects` where trouble is likeliest.
        windows: Effect of each window of the background on the worst class, rows x columns.
        name: The cue, as a key of WORDS, or `window`.
        inserted: Probability of the worst class on images of other classes as they are, with the cue of an image of the
            class, and with that of an image of their own class, M x 3.
        removed: The same on images of the class as they are, and without the cue, L x 2.
        pictures: What the cue looks like, and images before and after.
        place: Where it is, when it is somewhere.
    """

    class_names: tuple[str, ...]
    effects: Effects
    worst: tuple[int, int]
    windows: NDArray[np.float64]
    name: str
    inserted: NDArray[np.float64]
    removed: NDArray[np.float64]
    pictures: tuple[ImageGrid, ...]
    place: Heatmap | None

    @property
    def class_name(self) -> str:
        """The class that the cue speaks for."""
        return self.class_names[self.worst[0]]

    @property
    def words(self) -> str:
        """The cue in words."""
        return f"a patch at the {place_words(located(self.windows))}" if self.name == "window" else WORDS[self.name]

    @property
    def object_effect(self) -> float:
        """How far the object alone moves the answer to the worst class."""
        return float(self.effects.effect[self.worst[0], -1])

    def interval(self, row: int, column: int) -> Interval:
        """An effect; the intervals of all classes and cues hold at once."""
        return self.effects.interval(row, column, len(self.effects.classes) * len(CUES))

    @property
    def highest(self) -> float:
        """The upper end of all intervals."""
        rows, columns = range(len(self.effects.classes)), range(len(CUES))
        return max(self.interval(r, c).high for r in rows for c in columns)


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """Which channel of evidence moves the answer, for which class.

    Attributes:
        measured: None when nothing could be measured.
        given: Whether masks were given.
        used: How many images were used.
        left_out: How many labelled images were not, because the object is not known in enough of their class.
    """

    measured: Measured | None
    given: bool
    used: int
    left_out: int

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        found = self.measured
        if found is None:
            how = "come with a mask" if self.given else "show an object that can be found without one"
            claim = (
                f"Cannot be told: it takes two classes of {MIN_IMAGES} labelled images that {how}, and of {self.left_out} "
                "too few do."
            )
            yield Finding(check="reliance.shortcut", verdict=Verdict.INCONCLUSIVE, claim=claim, criterion=CRITERION)
            return
        effect = found.interval(*found.worst)
        verdict = self._verdict(found, effect)
        yield Finding(
            check="reliance.shortcut",
            verdict=verdict,
            severity=float(np.clip(effect.value, 0, 1)),
            claim=_claim(found, effect, verdict),
            criterion=CRITERION,
            evidence=self._evidence(found, effect),
            caveats=self._caveats(found),
        )

    def _verdict(self, found: Measured, effect: Interval) -> Verdict:
        if effect.low > FAIL_AT:
            unclear = not self.given and found.name == "background" and found.object_effect < effect.value
            return Verdict.WARN if unclear or found.name == "inner texture" else Verdict.FAIL
        if effect.low > WARN_AT:
            return Verdict.WARN
        return Verdict.PASS if found.highest <= FAIL_AT else Verdict.INCONCLUSIVE

    def _evidence(self, found: Measured, effect: Interval) -> list[Evidence]:
        name = found.class_name
        inserted, removed = mean(found.inserted[:, 1] - found.inserted[:, 2]), mean(-np.diff(found.removed)[:, 0])
        maps = (
            []
            if found.place is None
            else [
                Heatmaps(
                    title=f"Where: what each window of the background does for {name}",
                    items=[found.place],
                    low=0.0,
                    high=max(0.01, float(found.windows.max())),
                    scale_label="rise of probability",
                )
            ]
        )
        return [
            Estimate(
                label="How far the answer moves",
                value=effect.value,
                low=effect.low,
                high=effect.high,
                n=self.used,
                unit="probability",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            Estimate(
                label=f"Inserted: rise of {name}, beyond that with the same from an image of one's own class",
                value=inserted.value,
                low=inserted.low,
                high=inserted.high,
                n=len(found.inserted),
                unit="probability",
            ),
            Estimate(
                label=f"Taken out: fall of {name}",
                value=removed.value,
                low=removed.low,
                high=removed.high,
                n=len(found.removed),
                unit="probability",
            ),
            *found.pictures,
            *maps,
            _by_class_and_channel(found),
        ]

    def _caveats(self, found: Measured) -> list[str]:
        masks = (
            "Objects are where the given masks say."
            if self.given
            else f"No masks were given: the object was looked for without anything learned, and found in {self.used} "
            f"images; {self.left_out} in which two segmentations disagree were left out. Where the object is not what "
            "stands out most from the border, part of it may have been swapped with the background."
        )
        legitimate = "Inner texture may be what the class is about (a zebra's stripes); that is for you to say."
        return [
            masks,
            *([legitimate] if found.name == "inner texture" else []),
            "Swapped images look pasted; what pasting does by itself is taken off by swaps within a class.",
            (
                f"At most {MOST} images, {OTHERS} donors each, drawn from the seed; the interval of the movement holds "
                f"for all classes and channels at once. Numbers before and after rest on {len(found.inserted)} and "
                f"{len(found.removed)} images."
            ),
        ]


@check("reliance.shortcut", needs=[LABELS])
def shortcut(recording: Recording, engine: Engine, *, seed: int) -> Shortcut:
    """Does it rely on something that is not the object?

    What it asks:
        One channel of evidence at a time (the background, the frame, fine detail, colour, the object's position, its
        inner texture) is taken from a donor image of another class, the rest stays. How far does the answer move to the
        donor's class, beyond what a donor of the image's own class does? No cue has to be named beforehand.

    Why it matters:
        A network that was to learn horses learned the photographer's source tag. It is right on all images that look
        like its training images, and wrong as soon as the tag is missing.

    How to read it:
        The movement is the mean of two: how much other images rise towards a class when they get the channel from it,
        and how much images of the class fall when they get the channel from elsewhere. The claim says where the cue is
        and proves it: it is put into other images, and in-painted in its own. The pieces show what it looks like.

    Limits:
        A cue inside of the object's outline is only seen as inner texture. Without masks the object is searched for
        by contrast to the border, which fails on cluttered photographs: then the answer is inconclusive. A cue that all
        classes share is no shortcut and not found, and neither is one that is in none of these images.

    References:
        S. Lapuschkin et al., Unmasking Clever Hans predictors, Nature Communications 2019; R. Geirhos et al., Shortcut
        learning in deep neural networks, Nature Machine Intelligence 2020; J. Adebayo et al., Post hoc explanations may
        be ineffective for detecting unknown spurious correlation, ICLR 2022.
    """
    given = len(recording.masked) > 0
    labelled = np.intersect1d(recording.labelled, recording.masked) if given else recording.labelled
    candidates = rows = draw_rows(labelled, recording.targets, seed)
    if not given:
        rows = rows[engine.map(find, recording.subject, rows, task="Finding objects", chunk=120)["found"]]
    rows = rows_of_large_classes(rows, recording.targets)
    measured = _measured(recording, engine, rows, given=given, seed=seed) if len(rows) else None
    return Shortcut(measured=measured, given=given, used=len(rows), left_out=len(candidates) - len(rows))


def _measured(recording: Recording, engine: Engine, rows: NDArray[np.int64], *, given: bool, seed: int) -> Measured:
    """Swap every channel, look where the likeliest cue is, and prove it."""
    subject, targets = recording.subject, recording.targets[rows]
    donors = choose_donors(targets, OTHERS, seed)
    found = engine.map(
        swaps, subject, range(len(rows)), task="Swapping channels", chunk=60, rows=rows.tolist(), given=given, seed=seed
    )
    effects = shortcut_effects(Moves(**found), targets, targets[donors.others])
    row, column = _likeliest(effects)
    wanted = int(effects.classes[row])
    moved_most = pairs_for(targets, donors, wanted, (found["into"] - found["into_same"])[:, :, column])
    rises = engine.map(
        rises_by_part,
        subject,
        rows[moved_most[:, 0]],
        task="Looking where",
        chunk=8,
        wanted=wanted,
        pairs=rows[moved_most].tolist(),
        given=given,
    )["rise"].mean(0)
    windows = rises[: len(WINDOWS)].reshape(STEPS - WIDE + 1, -1).astype(np.float64)
    parts = dict(zip(PARTS, rises[len(WINDOWS) :].tolist(), strict=True))
    name = named(dict(zip(CUES, effects.effect[row].tolist(), strict=False)), parts, windows)
    channel = list(WINDOWS)[int(windows.argmax())] if name == "window" else name
    class_names = subject.classifier.class_names
    pairs, own = pairs_for(targets, donors, wanted), np.flatnonzero(targets == wanted)[:LOCATING]
    involved, where = np.unique(np.concatenate([pairs.T.ravel(), own]), return_inverse=True)
    at = torch.from_numpy(where).to(subject.classifier.device)
    recipients, givers, same = at[: pairs.size].view(3, -1)
    cast = Cast(
        scenery_of(subject, rows[involved].tolist(), given=given),
        class_names[wanted],
        channel,
        recipients,
        givers,
        same,
        at[pairs.size :],
    )
    inserted, removed = _proof(recording, cast, wanted)
    return Measured(
        class_names=tuple(class_names[c] for c in effects.classes),
        effects=effects,
        worst=(row, column),
        windows=windows,
        name=name,
        inserted=inserted,
        removed=removed,
        pictures=(pieces(cast), *stories(cast, inserted, removed)),
        place=place_map(cast, windows) if name == "window" else None,
    )


def _likeliest(effects: Effects) -> tuple[int, int]:
    """The class and cue whose effect is most surely large; where none is sure, the one that may be the largest."""
    rows, columns = len(effects.classes), len(CUES)
    ends = np.array([[effects.interval(r, c, rows * columns)[1:] for c in range(columns)] for r in range(rows)])
    low, high = ends[..., 0], ends[..., 1]
    row, column = np.unravel_index(int(np.argmax(low if low.max() > WARN_AT else high)), (rows, columns))
    return int(row), int(column)


def _proof(recording: Recording, cast: Cast, wanted: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Put the cue into other images, and take it out of its own; see Measured."""

    def probability(pixels: torch.Tensor) -> NDArray[np.float64]:
        shown = logits_of(recording.subject.classifier, pixels).softmax(1)[:, wanted]
        return shown.cpu().numpy().astype(np.float64).round(6)

    others = cast.scenery.images[cast.recipients]
    with_cue, with_same = (swap(cast.scenery, cast.channel, cast.recipients, d) for d in (cast.givers, cast.same))
    without = neutralise(cast.scenery, cast.channel, cast.own)
    inserted = np.stack([probability(p) for p in (others, with_cue, with_same)], axis=1)
    return inserted, np.stack([probability(p) for p in (cast.scenery.images[cast.own], without)], axis=1)


def _claim(found: Measured, effect: Interval, verdict: Verdict) -> str:
    moves = f"{_points(effect.value)} ({round(100 * effect.low)} to {round(100 * effect.high)})"
    name = found.class_name
    alone = f"the object alone moves it by {round(100 * found.object_effect)}"
    most = f"{WORDS[CUES[found.worst[1]]]} of {name}, by {moves}; {alone}."
    if verdict is Verdict.PASS:
        return f"Nothing beside the object's shape moves the answer far: most {most}"
    if verdict is Verdict.INCONCLUSIVE:
        return f"These images are too few to rule out that something beside the object moves the answer: perhaps {most}"
    before, after, _ = found.inserted.mean(0)
    kept, lost = found.removed.mean(0)
    return (
        f"It relies on {found.words} for {name}: put into other images, it raises {name} from {percent(before)} to "
        f"{percent(after)}; taken out of images of {name}, it lowers {name} from {percent(kept)} to {percent(lost)}. "
        f"It moves the answer by {moves}; {alone}."
    )


def _by_class_and_channel(found: Measured) -> Heatmaps:
    """All channels by all classes (the dozen most moved), so that a reader sees what else moves the answer."""
    effect = np.maximum(found.effects.effect, 0)
    rows = np.argsort(-effect[:, : len(CUES)].max(1), kind="stable")[:12]
    table = Heatmap(
        values=[[round(float(v), 4) for v in effect[r]] for r in rows],
        x_ticks=[*CUES, "object"],
        y_ticks=[found.class_names[r] for r in rows],
        caption="mean of inserting and replacing; below 0 counts as 0",
        alt="Movement of the answer by class and channel",
    )
    return Heatmaps(
        title="What moves the answer, by class and channel",
        items=[table],
        low=0.0,
        high=max(0.1, float(effect.max())),
        scale_label="movement of probability",
    )


def _points(movement: float) -> str:
    return f"{round(100 * movement)} points"
