"""reliance.shortcut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.judging import ENOUGH, percent
from deeptroubles.checks.registry import check
from deeptroubles.engine import Engine
from deeptroubles.findings import Estimate, Evidence, Finding, GridItem, Heatmap, Heatmaps, ImageGrid, Verdict
from deeptroubles.methods.reliance.donor_swap import Donors, Moves, choose_donors, donor_swap
from deeptroubles.methods.reliance.shortcut_effects import Effects, located, named, shortcut_effects
from deeptroubles.methods.segmentation.find_objects import find_objects
from deeptroubles.methods.statistics.intervals import Interval, mean
from deeptroubles.methods.transforms.neutralise import neutralise
from deeptroubles.methods.transforms.swap import CHANNELS, STEPS, WIDE, WINDOWS, Scenery, swap
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject, answer

WARN_AT, FAIL_AT = 0.05, 0.10
MOST = 240
"""No more images than this get something from donors."""
OTHERS = 3
"""From how many other classes each image gets a donor."""
LOCATING = 32
"""With how many images the background is swapped window by window."""
SHOWN = 6
CUES = tuple(name for name in CHANNELS if name != "object")
"""What is no shape of an object; the object itself is swapped for comparison."""
WORDS = {
    "background": "the background", "frame": "the frame", "high frequencies": "high frequencies", "colour": "the colour",
    "position": "the object's position", "inner texture": "the object's inner texture",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Counterfactual:
    """The probability of a class before and after; rows are images.

    Attributes:
        inserted: Images of other classes as they are, with the cue of an image of the class, and with that of an image
            of their own class, M x 3.
        removed: Images of the class as they are, and without the cue, L x 2.
    """

    inserted: NDArray[np.float64]
    removed: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """Which channel of evidence moves the answer, for which class.

    Attributes:
        class_names: Of the classes in `effects`.
        effects: Of the cues and the object (the last channel), class by class.
        given: Whether masks were given.
        used: How many images were used.
        left_out: How many labelled images were not, because the object was not found.
        worst: Row and column of `effects` where trouble is likeliest.
        windows: Effect of each window of the background on the worst class, rows x columns.
        name: The cue, as a key of WORDS, or `window`.
        proof: Removing and inserting it.
        pieces: What the cue looks like.
        stories: Images before and after.
        impossible: Why nothing can be told; '' when it can.
    """

    class_names: tuple[str, ...] = ()
    effects: Effects | None = None
    given: bool = False
    used: int = 0
    left_out: int = 0
    worst: tuple[int, int] = (0, 0)
    windows: NDArray[np.float64] | None = None
    name: str = ""
    proof: Counterfactual | None = None
    pieces: ImageGrid | None = None
    stories: ImageGrid | None = None
    place: Heatmap | None = None
    impossible: str = ""

    @property
    def comparisons(self) -> int:
        """How many effects are looked at, all of whose intervals hold at once."""
        return 0 if self.effects is None else len(self.effects.classes) * len(CUES)

    @property
    def words(self) -> str:
        """The cue in words."""
        place = located(self.windows) if self.windows is not None and self.name == "window" else None
        return f"a patch at the {_place_words(place)}" if place else WORDS.get(self.name, self.name)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        if self.effects is None or self.proof is None:
            yield Finding(check="reliance.shortcut", verdict=Verdict.INCONCLUSIVE, criterion=CRITERION,
                          claim=f"Cannot be told: {self.impossible}.")  # fmt: skip
            return
        row, column = self.worst
        effect = self.effects.interval(row, column, self.comparisons)
        verdict = self._verdict(effect)
        yield Finding(
            check="reliance.shortcut",
            verdict=verdict,
            severity=float(np.clip(effect.value, 0, 1)),
            claim=self._claim(effect, verdict),
            criterion=CRITERION,
            evidence=self._evidence(effect),
            caveats=self._caveats(),
        )

    def _verdict(self, effect: Interval) -> Verdict:
        if effect.low > FAIL_AT:
            may_be_legitimate = self.name == "inner texture"
            unclear = not self.given and self.name == "background" and self._object_effect() < effect.value
            return Verdict.WARN if may_be_legitimate or unclear else Verdict.FAIL
        if effect.low > WARN_AT:
            return Verdict.WARN
        highest = max(self._intervals(), key=lambda interval: interval.high)
        return Verdict.PASS if highest.high <= FAIL_AT else Verdict.INCONCLUSIVE

    def _intervals(self) -> list[Interval]:
        effects = self.effects
        assert effects is not None  # noqa: S101 (only asked when there are effects)
        rows, columns = range(len(effects.classes)), range(len(CUES))
        return [effects.interval(r, c, self.comparisons) for r in rows for c in columns]

    def _object_effect(self) -> float:
        assert self.effects is not None  # noqa: S101
        return float(self.effects.effect[self.worst[0], -1])

    def _claim(self, effect: Interval, verdict: Verdict) -> str:
        assert self.proof is not None  # noqa: S101
        alone = f"the object alone moves it by {_points(self._object_effect())}"
        moves = f"by {_points(effect.value)} ({_points(effect.low)} to {_points(effect.high)})"
        class_name = self.class_names[self.worst[0]]
        if verdict in {Verdict.PASS, Verdict.INCONCLUSIVE}:
            most = "may still move" if verdict is Verdict.INCONCLUSIVE else "moves"
            return (
                f"No swap of background, frame, fine detail, colour, position or inner texture {most} the answer far: "
                f"the most is {WORDS[CUES[self.worst[1]]]} for {class_name}, {moves}; {alone}."
            )
        before, after, _ = self.proof.inserted.mean(0)
        kept, lost = self.proof.removed.mean(0)
        return (
            f"It relies on {self.words} for {class_name}: put into images of other classes, it raises {class_name} from "
            f"{percent(before)} to {percent(after)}; taken out of images of {class_name}, it lowers {class_name} from "
            f"{percent(kept)} to {percent(lost)}. In all the answer moves {moves}; {alone}."
        )

    def _evidence(self, effect: Interval) -> list[Evidence]:
        effects, proof = self.effects, self.proof
        assert effects is not None  # noqa: S101
        assert proof is not None  # noqa: S101
        name = self.class_names[self.worst[0]]
        insertion, removal = mean(proof.inserted[:, 1] - proof.inserted[:, 2]), mean(-np.diff(proof.removed)[:, 0])
        pictures = [grid for grid in (self.pieces, self.stories) if grid]
        maps: list[Evidence] = []
        if self.place:
            maps = [Heatmaps(title=f"Where: what each window of the background does for {name}", items=[self.place],
                             low=0.0, high=max(0.01, float(np.max(self.place.values))),
                             scale_label="rise of probability")]  # fmt: skip
        return [
            Estimate(label="Movement of the answer, mean of inserting and replacing", value=effect.value, low=effect.low,
                     high=effect.high, n=self.used, unit="probability", warn_at=WARN_AT, fail_at=FAIL_AT),
            Estimate(label=f"Inserted: rise of {name}, beyond that from an image of the same class",
                     value=insertion.value, low=insertion.low, high=insertion.high, n=len(proof.inserted),
                     unit="probability"),
            Estimate(label=f"Removed: fall of {name}", value=removal.value, low=removal.low, high=removal.high,
                     n=len(proof.removed), unit="probability"),
            *pictures, *maps, self._table(),
        ]  # fmt: skip

    def _table(self) -> Heatmaps:
        """All channels by all classes (the dozen most moved), so that a reader sees what else moves the answer."""
        effects = self.effects
        assert effects is not None  # noqa: S101
        rows = np.argsort(-effects.effect[:, : len(CUES)].max(1), kind="stable")[:12]
        values = [[round(float(v), 4) for v in effects.effect[r]] for r in rows]
        table = Heatmap(
            values=values, caption="mean of insertion and replacement", alt="Movement of the answer by class and channel",
            x_ticks=[*CUES, "object"], y_ticks=[self.class_names[r] for r in rows],
        )  # fmt: skip
        return Heatmaps(title="What moves the answer, by class and channel", items=[table], low=0.0,
                        high=max(0.1, float(np.max(values))), scale_label="movement of probability")  # fmt: skip

    def _caveats(self) -> list[str]:
        masks = (
            "Objects are where the given masks say."
            if self.given
            else f"No masks were given: the object was looked for without anything learned, and found in {self.used} "
            f"images; {self.left_out} in which two segmentations disagree were left out. Where the object is not the "
            "region that stands out most from the border, part of it may have been swapped with the background."
        )
        legitimate = (
            ["Inner texture may be what the class is about (a zebra's stripes); that is for you to say."]
            if self.name == "inner texture"
            else []
        )
        return [
            masks,
            *legitimate,
            "Swapped images look pasted. What pasting does by itself is taken off by swaps between images of one class.",
            f"At most {MOST} images, {OTHERS} donors each, drawn from the seed; the interval holds for all classes and "
            "channels at once.",
        ]


CRITERION = (
    f"Fails when swapping one channel moves the answer towards the donor's class by more than {100 * FAIL_AT:.0f} points "
    f"of probability with 95 % confidence for all classes and channels at once, warns above {100 * WARN_AT:.0f}, passes "
    f"when more than {100 * FAIL_AT:.0f} can be ruled out for all; inner texture only warns, and so does the background "
    f"without masks when it moves more than the object; inconclusive otherwise, and with fewer than two classes of "
    f"{ENOUGH} images. Set on planted networks: see benchmarks."
)


@check("reliance.shortcut", needs={"labels"})
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
    candidates = np.intersect1d(recording.labelled, recording.masked) if given else recording.labelled
    candidates = _chosen(candidates, recording.targets, seed)
    rows = candidates
    if not given and len(candidates):
        found = engine.map(_find, recording.subject, candidates, label="Finding objects", piece=120)["found"]
        rows = candidates[found]
    rows = _of_large_classes(rows, recording.targets)
    left_out = len(candidates) - len(rows)
    if not len(rows):
        why = "masks are given" if given else "the object is found without masks"
        return Shortcut(impossible=f"it takes two classes of {ENOUGH} labelled images in which {why}, and of "
                        f"{len(candidates)} labelled images too few are", given=given, left_out=left_out)  # fmt: skip
    experiment = _Experiment(recording, engine, rows, given, seed)
    return experiment.result(left_out)


@dataclass(frozen=True)
class _Experiment:
    """The images that take part, and the swaps between them."""

    recording: Recording
    engine: Engine
    rows: NDArray[np.int64]
    given: bool
    seed: int

    def result(self, left_out: int) -> Shortcut:
        targets = self.recording.targets[self.rows]
        donors = choose_donors(targets, OTHERS, self.seed)
        settings = {"rows": self.rows.tolist(), "given": self.given, "seed": self.seed}
        found = self.engine.map(_swaps, self.recording.subject, range(len(self.rows)), label="Swapping channels",
                                piece=60, **settings)  # fmt: skip
        effects = shortcut_effects(Moves(**found), targets, targets[donors.others])
        row, column = _likeliest(effects)
        wanted = int(effects.classes[row])
        windows = self._windows(targets, donors, wanted)
        name = named(dict(zip([*CUES], effects.effect[row], strict=False)), windows)
        scenery, at = self._shown(targets, donors, wanted)
        channel = _best_window(windows) if name == "window" else name
        names = self.recording.subject.classifier.class_names
        proof = self._proof(scenery, at, channel, wanted)
        return Shortcut(
            class_names=tuple(names[c] for c in effects.classes), effects=effects, given=self.given,
            used=len(self.rows), left_out=left_out, worst=(row, column), windows=windows, name=name, proof=proof,
            pieces=_pieces(scenery, at, channel, names[wanted]),
            stories=_stories(scenery, at, channel, names[wanted], proof),
            place=_place(scenery, at, windows, names[wanted]) if name == "window" else None,
        )  # fmt: skip

    def _pairs(self, targets: NDArray[np.int64], donors: Donors, wanted: int) -> NDArray[np.int64]:
        """Recipients, their donors of the wanted class, and donors of their own class: P x 3, spread over all."""
        rows, which = np.nonzero(targets[donors.others] == wanted)
        pairs = np.stack([rows, donors.others[rows, which], donors.same[rows, 0]], axis=1)
        return pairs[np.unique(np.linspace(0, len(pairs) - 1, min(LOCATING, len(pairs))).astype(int))]

    def _windows(self, targets: NDArray[np.int64], donors: Donors, wanted: int) -> NDArray[np.float64]:
        """The rise of the wanted class by each window of the background, rows x columns."""
        pairs = self.rows[self._pairs(targets, donors, wanted)]
        rise = self.engine.map(_window_rises, self.recording.subject, pairs[:, 0], label="Looking where", piece=8,
                               pairs=pairs.tolist(), given=self.given, wanted=wanted)["rise"]  # fmt: skip
        side = STEPS - WIDE + 1
        return np.asarray(rise.mean(0).reshape(side, side), dtype=np.float64)

    def _shown(
        self, targets: NDArray[np.int64], donors: Donors, wanted: int
    ) -> tuple[Scenery, dict[str, torch.Tensor]]:
        """The images of the proof, taken apart: recipients, donors, own-class donors, and images of the class."""
        pairs = self._pairs(targets, donors, wanted)
        own = np.flatnonzero(targets == wanted)[:LOCATING]
        involved, where = np.unique(np.concatenate([pairs.ravel(), own]), return_inverse=True)
        at = torch.from_numpy(where).to(self.recording.subject.classifier.device)
        parts = at[: pairs.size].view(-1, 3)
        named_parts = {"to": parts[:, 0], "from": parts[:, 1], "same": parts[:, 2], "own": at[pairs.size :]}
        return _scenery(self.recording.subject, self.rows[involved].tolist(), self.given), named_parts

    def _proof(self, scenery: Scenery, at: dict[str, torch.Tensor], channel: str, wanted: int) -> Counterfactual:
        """Put the cue into other images, and take it out of its own."""
        classifier, size = self.recording.subject.classifier, self.engine_batch

        def probability(pixels: torch.Tensor) -> NDArray[np.float64]:
            return answer(classifier, pixels, size).softmax(1)[:, wanted].cpu().numpy().astype(np.float64)

        inserted = [
            scenery.images[at["to"]], swap(scenery, channel, at["to"], at["from"]),
            swap(scenery, channel, at["to"], at["same"]),
        ]  # fmt: skip
        removed = [scenery.images[at["own"]], neutralise(scenery, channel, at["own"])]
        return Counterfactual(
            inserted=np.stack([probability(p) for p in inserted], axis=1).round(6),
            removed=np.stack([probability(p) for p in removed], axis=1).round(6),
        )

    @property
    def engine_batch(self) -> int:
        """How many images the proof shows at once."""
        return 32


def _chosen(rows: NDArray[np.int64], targets: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """At most MOST rows, of as many classes as leaves each of them ENOUGH images, drawn at random."""
    if len(rows) <= MOST:
        return rows
    random = np.random.default_rng(seed)
    rows = random.permutation(rows)
    classes, counts = np.unique(targets[rows], return_counts=True)
    largest = classes[np.argsort(-counts, kind="stable")][: MOST // (2 * ENOUGH)]
    rows = rows[np.isin(targets[rows], largest)]
    turn = np.array([(targets[rows[:i]] == targets[row]).sum() for i, row in enumerate(rows)])  # classes take turns
    return np.sort(rows[np.argsort(turn, kind="stable")][:MOST])


def _of_large_classes(rows: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows of classes with ENOUGH of them; none when there is only one such class."""
    classes, counts = np.unique(targets[rows], return_counts=True)
    large = classes[counts >= ENOUGH]
    return rows[np.isin(targets[rows], large)] if len(large) > 1 else rows[:0]


def _likeliest(effects: Effects) -> tuple[int, int]:
    """The class and cue whose effect is most surely above 0 by much: with the highest lower end."""
    rows, columns = len(effects.classes), len(CUES)
    low = [[effects.interval(r, c, rows * columns).low for c in range(columns)] for r in range(rows)]
    row, column = np.unravel_index(int(np.argmax(low)), (rows, columns))
    return int(row), int(column)


def _scenery(subject: Subject, rows: Sequence[int], given: bool) -> Scenery:  # noqa: FBT001
    pixels = subject.pixels(rows)
    return Scenery(pixels, subject.masks(rows) if given else find_objects(pixels).masks)


def _find(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    return {"found": find_objects(subject.pixels(indices)).found.cpu().numpy()}


def _swaps(
    subject: Subject, indices: Sequence[int], batch_size: int, rows: list[int], given: bool, seed: int  # noqa: FBT001
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """The moves of some recipients; `indices` are positions in `rows`, the images that take part."""
    donors = choose_donors(subject.targets[rows], OTHERS, seed)
    here = [donors.recipients[indices], donors.same[indices], donors.others[indices]]
    involved = np.unique(np.concatenate([part.ravel() for part in here]))
    scenery = _scenery(subject, np.array(rows)[involved].tolist(), given)
    local = Donors(*(np.searchsorted(involved, part) for part in here))
    targets = torch.from_numpy(subject.targets[rows][involved]).to(subject.classifier.device)
    moves = donor_swap(subject.classifier, scenery, targets, local, [*CUES, "object"], batch_size)
    return {name: np.round(value, 6) for name, value in vars(moves).items()}


def _window_rises(
    subject: Subject, indices: Sequence[int], batch_size: int, pairs: list[list[int]], given: bool, wanted: int  # noqa: FBT001
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """By how much each window of the donor's background raises the wanted class, M x windows."""
    donors = {to: (giver, same) for to, giver, same in pairs}
    rows = [(i, *donors[i]) for i in indices]
    involved, where = np.unique(np.array(rows), return_inverse=True)
    scenery = _scenery(subject, involved.tolist(), given)
    to, giver, same = torch.from_numpy(where.reshape(-1, 3)).to(subject.classifier.device).unbind(1)
    rises = []
    for name in WINDOWS:
        shown = torch.cat([swap(scenery, name, to, giver), swap(scenery, name, to, same)])
        after = answer(subject.classifier, shown, batch_size).softmax(1)[:, wanted]
        rises.append(after[: len(to)] - after[len(to) :])
    return {"rise": np.round(torch.stack(rises, dim=1).cpu().numpy(), 6)}


def _best_window(windows: NDArray[np.float64]) -> str:
    return list(WINDOWS)[int(windows.argmax())]


def _points(movement: float) -> str:
    return f"{100 * movement:.0f} points"


def _place_words(place: tuple[int, int, int, int]) -> str:
    """A box in steps, in words."""
    top, left, bottom, right = place
    vertical = ("top", "middle", "bottom")[min(2, int(3 * (top + bottom) / 2 / STEPS))]
    horizontal = ("left", "centre", "right")[min(2, int(3 * (left + right) / 2 / STEPS))]
    if vertical == "middle":
        return "centre" if horizontal == "centre" else f"{horizontal} side"
    return vertical if horizontal == "centre" else f"{vertical} {horizontal}"


def _pieces(scenery: Scenery, at: dict[str, torch.Tensor], channel: str, name: str) -> ImageGrid:
    """What donors of the class give: the window, or the image that it is taken from without its object."""
    items = []
    for donor in torch.unique(at["from"])[:SHOWN].tolist():
        image = scenery.images[donor] if channel in {"position", "inner texture"} else scenery.background[donor]
        if channel in WINDOWS:
            image = _cut(image, WINDOWS[channel])
        shown = picture(image.cpu().numpy(), f"What an image of {name} gives")
        items.append(GridItem(picture=shown, caption=name))
    return ImageGrid(title=f"What moves the answer to {name}", items=items)


def _cut(image: torch.Tensor, corner: tuple[int, int]) -> torch.Tensor:
    (top, bottom), (left, right) = (
        (round(start * side / STEPS), round((start + WIDE) * side / STEPS))
        for start, side in zip(corner, image.shape[-2:], strict=True)
    )
    return image[:, top:bottom, left:right]


def _stories(
    scenery: Scenery, at: dict[str, torch.Tensor], channel: str, name: str, proof: Counterfactual
) -> ImageGrid:  # fmt: skip
    """The images that are moved most: as they are, with the cue; and images of the class without it."""
    rise = proof.inserted[:, 1] - proof.inserted[:, 0]
    items = []
    for i in np.argsort(-rise, kind="stable")[: SHOWN // 2].tolist():
        before = scenery.images[at["to"][i]]
        after = swap(scenery, channel, at["to"][i : i + 1], at["from"][i : i + 1])[0]
        items += [
            GridItem(
                picture=picture(before.cpu().numpy(), f"An image that is not {name}"),
                caption=percent(proof.inserted[i, 0]),
                note=f"{name}, as it is",
            ),
            GridItem(
                picture=picture(after.cpu().numpy(), f"The same image with the cue of {name}"),
                caption=percent(proof.inserted[i, 1]),
                note="with the cue",
            ),
        ]
    fall = proof.removed[:, 0] - proof.removed[:, 1]
    for i in np.argsort(-fall, kind="stable")[:1].tolist():
        before, after = scenery.images[at["own"][i]], neutralise(scenery, channel, at["own"][i : i + 1])[0]
        items += [
            GridItem(
                picture=picture(before.cpu().numpy(), f"An image of {name}"),
                caption=percent(proof.removed[i, 0]),
                note=f"{name}, as it is",
            ),
            GridItem(
                picture=picture(after.cpu().numpy(), f"The same image without the cue"),
                caption=percent(proof.removed[i, 1]),
                note="without the cue",
            ),
        ]
    return ImageGrid(title=f"Probability of {name}, before and after", items=items)


def _place(scenery: Scenery, at: dict[str, torch.Tensor], windows: NDArray[np.float64], name: str) -> Heatmap:
    """The mean effect of the windows that cover each step of the image, over an image of the class."""
    total, count = np.zeros((STEPS, STEPS)), np.zeros((STEPS, STEPS))
    for (row, column), effect in zip(WINDOWS.values(), windows.ravel(), strict=True):
        total[row : row + WIDE, column : column + WIDE] += effect
        count[row : row + WIDE, column : column + WIDE] += 1
    shown = picture(scenery.images[at["from"][0]].cpu().numpy(), f"An image of {name}")
    return Heatmap(
        values=np.round(np.maximum(total / count, 0), 4).tolist(),
        caption=name,
        picture=shown,
        alt=f"The windows that move the answer to {name} most are at the {_place_words(located(windows) or (0, 0, STEPS, STEPS))}",
    )
