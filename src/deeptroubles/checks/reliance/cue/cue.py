"""reliance.cue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import MIN_IMAGES, criterion, few, judge
from deeptroubles.checks.options import CUE
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.cue.associated_class import own_classes, spoken_for
from deeptroubles.checks.reliance.cue.column import ColumnCue, column_cue
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.transforms.inpaint import dilate, elsewhere, inpaint
from deeptroubles.methods.transforms.shared.find_overlay import find_overlay
from deeptroubles.methods.transforms.shared.named_cue import NamedCue, drawn_cue, named_cue
from deeptroubles.methods.transforms.shared.overlay import Overlay, lay, look_alike
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.05, 0.20
MOST = 128
"""So many images are shown with a cue, evenly spread."""
LOOK_ALIKES = 3
LISTED = 8
SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """What happens when a cue is laid over images of other classes, beside a look-alike of the cue.

    Attributes:
        images: Which of the images that were shown it is measured on: those of other classes; N positions.
        spoken_for: The class that the cue speaks for; None when it is the class of the image that the cue is from.
        rise: By how much its probability rises with the cue, and not with the look-alike; N differences.
        with_cue: By how much it rises with the cue; N.
        with_look_alike: Likewise with a look-alike.
        changed: Whether the cue changes the answer; one for each image shown.
        changed_by_look_alike: Share of the look-alikes that change it; one for each image shown.
        by_class: Class, rise with the cue and with a look-alike, and difference with interval, of the classes that
            gain most.
    """

    images: NDArray[np.int64]
    spoken_for: str | None
    rise: NDArray[np.float64]
    with_cue: NDArray[np.float64]
    with_look_alike: NDArray[np.float64]
    changed: NDArray[np.bool_]
    changed_by_look_alike: NDArray[np.float64]
    by_class: tuple[tuple[str, float, float, Interval, int], ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What happens when a cue is in-painted where it is, beside in-painting as much elsewhere.

    Attributes:
        fall: By how much the answer's probability falls without the cue, and not without the other region; N.
        changed: Whether removal changes the answer; N.
        changed_elsewhere: Whether the other removal does; N.
    """

    fall: NDArray[np.float64]
    changed: NDArray[np.bool_]
    changed_elsewhere: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class CueEffect:
    """What one cue does that can be put into images or taken out of them."""

    cue: NamedCue
    inserted: Inserted | None
    removed: Removed | None
    stories: tuple[ImageGrid, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        measured = [(part, mean_difference(part)) for part in self._parts()]
        verdicts = [judge(effect, len(part), warn_at=WARN_AT, fail_at=FAIL_AT) for part, effect in measured]
        if self.inserted is not None and mean_difference(self.inserted.with_cue).high > FAIL_AT:
            verdicts.append(Verdict.INCONCLUSIVE)
        yield Finding(
            check="reliance.cue",
            verdict=min(verdicts, key=list(Verdict).index) if verdicts else Verdict.INCONCLUSIVE,
            severity=float(max(0.0, *(effect.value for _, effect in measured))) if measured else 0.0,
            claim=" ".join(self._claims()) or f"{_capital(self.cue.words)} could be put into 0 images.",
            criterion=criterion(
                "what the cue adds to the probability of the class that it speaks for, or its removal takes from that "
                "of the answer, beyond what its control does,",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            )
            + " Controls are look-alikes (the same overlay in blocks of another order and in other colours) and the "
            f"in-painting of as much elsewhere. Where both the cue and a look-alike move the answer so far, it cannot "
            f"pass. A removal counts from {MIN_IMAGES} images on.",
            evidence=self._evidence(),
            caveats=self._caveats(),
        )

    def _parts(self) -> list[NDArray[np.float64]]:
        """The effects that are judged."""
        parts = [] if self.inserted is None else [self.inserted.rise]
        if self.removed is not None and (len(self.removed.fall) >= MIN_IMAGES or not parts):
            parts.append(self.removed.fall)
        return parts

    def _claims(self) -> list[str]:
        claims: list[str] = []
        name = _capital(self.cue.words)
        if self.inserted is not None:
            part = self.inserted
            whom = f"“{part.spoken_for}”" if part.spoken_for else "the class that it comes from"
            claims.append(
                f"{name}: put into images of other classes, it raises the probability of {whom} by "
                f"{percent(part.with_cue.mean())}, a look-alike by {percent(part.with_look_alike.mean())}: a "
                f"difference of {percent_interval(mean_difference(part.rise))}."
            )
        if self.removed is not None:
            count = len(self.removed.fall)
            where = f"out of the {count} image{'s' if count != 1 else ''} that show it"
            claims.append(
                f"{'Taking it' if claims else f'{name}: taking it'} {where} lowers that of the answer by "
                f"{percent_interval(mean_difference(self.removed.fall))} more than taking out as much elsewhere."
            )
        return claims

    def _caveats(self) -> list[str]:
        parts = self._parts()
        caveats = list(few(min(map(len, parts)))) if parts else []
        if self.removed is None and self.cue.kind == "cut-out":
            caveats.append(
                "It was found in none of the images at the size at which it is put in, so nothing was taken out."
            )
        elif self.removed is not None and len(self.removed.fall) < MIN_IMAGES and self.inserted is not None:
            caveats.append(f"Its removal rests on {len(self.removed.fall)} images and is not judged.")
        if self.inserted is not None and self.inserted.spoken_for:
            caveats.append(
                "The class that it speaks for is looked for on one half of the images and measured on the other, so "
                "that the search adds nothing to the effect."
            )
        return [*caveats, "Where the cue hides the object, some of its effect is that; the control hides as much."]

    def _evidence(self) -> list[Evidence]:
        evidence: list[Evidence] = []
        if self.inserted is not None:
            part, shown = self.inserted, self.inserted.spoken_for or "the class that it comes from"
            evidence.append(_estimate(f"What the cue adds to {shown}, beyond a look-alike", part.rise))
        if self.removed is not None:
            evidence.append(
                _estimate("What its removal takes from the answer, beyond removal elsewhere", self.removed.fall)
            )
        evidence.extend(self.stories)
        if self.inserted is not None and self.inserted.by_class:
            columns = [
                Column(name="class"),
                Column(name="images of other classes", kind="number"),
                Column(name="rise with the cue", kind="share"),
                Column(name="with a look-alike", kind="share"),
                Column(name="difference", kind="share"),
                Column(name="95 % interval", kind="interval"),
            ]
            rows: list[list[Cell]] = [
                [name, count, round(cue, 4), round(alike, 4), round(gap.value, 4), [gap.low, gap.high]]
                for name, cue, alike, gap, count in self.inserted.by_class
            ]
            evidence.append(Table(title="The classes that gain most", columns=columns, rows=rows))
        changed = self._changes()
        evidence.append(Table(title="Answers that change", columns=changed[0], rows=changed[1]))
        return evidence

    def _changes(self) -> tuple[list[Column], list[list[Any]]]:
        columns = [
            Column(name="what is done"),
            Column(name="images", kind="number"),
            Column(name="with the cue", kind="share"),
            Column(name="95 % interval", kind="interval"),
            Column(name="with the control", kind="share"),
        ]
        rows: list[list[Any]] = []
        for what, part in (("inserted", self.inserted), ("removed", self.removed)):
            if part is None:
                continue
            control = part.changed_by_look_alike if isinstance(part, Inserted) else part.changed_elsewhere
            share = mean_share(part.changed)
            rows.append([what, len(part.changed), share.value, [share.low, share.high], float(control.mean())])
        return columns, rows


@dataclass(frozen=True, kw_only=True)
class Cues:
    """What every named cue does."""

    effects: tuple[CueEffect | ColumnCue, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding for each cue."""
        for effect in self.effects:
            yield from effect.findings()


@check("reliance.cue", options=[CUE])
def cue(recording: Recording, engine: Engine, *, seed: int) -> Cues:
    """Does a cue that you name move the answer?

    What it asks:
        A cue is laid over images of other classes, and taken out of images that show it. How far does the probability
        of the class that it speaks for rise and fall? Name cues with `--cue`, as often as you like:

        - `text:© horses.example@bottom-left` is a line of text; places are top-left, top, top-right, left, middle,
          right, bottom-left (when none is named), bottom and bottom-right.

        - `tag.png@bottom-left` is a cut-out: a picture file whose transparent parts show the image, a third of the
          image long; `frame.png@everywhere` is laid over the whole image.

        - `color:#ff8800` is a cast of a colour.

        - `column:photographer` is a column of the manifest: nothing is put in, and answers to images of the same class
          are compared between the column's values.

        - `mask` is what the manifest's column `cue_mask` marks: it is taken out there, and put into images of other
          classes.

        - `watermark`, asked when nothing is named, is the one of ImageNet-W, in our own strokes.

    Why it matters:
        A classifier that says horse where it sees the name of a website with horses is right for as long as the
        website's photographs are shown. A published ResNet-50 loses 25 points of accuracy on ImageNet to a watermark
        that came with photographs of cartons in training.

    How to read it:
        The first estimate is what the cue adds to the probability of the class that it speaks for, less what
        look-alikes add: the same overlay, cut into blocks in another order and in other colours. The second is what
        in-painting the cue takes from the probability of the answer, less what in-painting as much elsewhere takes. In
        the strips the same image is shown without and with the cue, and with a look-alike.

    Limits:
        A network that answers any writing, whatever it says, answers the look-alike too; then the difference is small,
        and both numbers should be read. A cut-out is found only at the size at which it is put in. For a column,
        whatever else comes with a value counts as its effect.

    References:
        Z. Li et al., A Whac-A-Mole dilemma: shortcuts come in multiples where mitigating one amplifies others, CVPR
        2023 (ImageNet-W).

        S. Lapuschkin et al., Unmasking Clever Hans predictors and assessing what machines really learn, Nature
        Communications 2019.
    """
    named = CUE.of(recording) or (named_cue("watermark"),)
    return Cues(
        effects=tuple(
            column_cue(recording, each, seed) if each.kind == "column" else _effect(recording, engine, each, seed)
            for each in named
        )
    )


def _effect(recording: Recording, engine: Engine, named: NamedCue, seed: int) -> CueEffect:
    own = own_classes(recording)
    rows = recording.sample(MOST)
    settings: dict[str, Any] = {"cue": asdict(named), "seed": seed}
    shows = recording.cue_masked if named.kind == "mask" else _found(recording, engine, named)
    donors = np.full(len(own), -1)
    if named.kind == "mask":
        donors = _donors(own, shows, seed)
        rows = rows[donors[rows] >= 0]
    rows = np.setdiff1d(rows, shows)  # where it is already, it cannot be put in
    inserted: Inserted | None = None
    stories: list[ImageGrid] = []
    if len(rows):
        label = f"Putting in {named.words}"
        found = engine.map(_insert, recording.subject, rows, task=label, donors=donors.tolist(), **settings)
        inserted = _inserted(recording, found, rows, donors, seed)
        if inserted is not None:
            stories += _insertions(recording, named, rows, donors, found, inserted, seed)
    removed = None
    if len(shows):
        taken = engine.map(_remove, recording.subject, shows[:MOST], task=f"Taking out {named.words}", **settings)
        removed = _removed(recording, shows[:MOST], taken)
        stories += _removals(recording, named, shows[:MOST], taken, removed)
    return CueEffect(cue=named, inserted=inserted, removed=removed, stories=tuple(stories))


def _found(recording: Recording, engine: Engine, named: NamedCue) -> NDArray[np.int64]:
    """The rows in which a cut-out is seen."""
    if named.kind != "cut-out":
        return np.zeros(0, dtype=np.int64)
    everything = range(len(recording.logits))
    seen = engine.map(_look_for, recording.subject, everything, task=f"Looking for {named.words}", cue=asdict(named))
    return np.flatnonzero(seen["found"])


def _donors(own: NDArray[np.int64], shows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each image another one of another class that shows the cue; -1 where there is none. N."""
    donors = np.full(len(own), -1)
    for row in range(len(own)):
        others = shows[own[shows] != own[row]]
        if len(others):
            donors[row] = np.random.default_rng([seed, row]).choice(others)
    return donors


def _overlay(subject: Subject, cue: NamedCue, donors: Sequence[int]) -> Overlay:
    """The cue for images of a subject; for marked cues that of each image's donor."""
    if cue.kind == "mask":
        masks = dilate(subject.masks(donors, cue=True), 1)
        return Overlay(subject.pixels(donors), masks[:, None].float())
    return drawn_cue(cue, subject.classifier.size, subject.classifier.channels)


def _insert(
    subject: Subject, indices: Sequence[int], batch_size: int, cue: dict[str, Any], donors: Sequence[int], seed: int
) -> dict[str, NDArray[Any]]:
    """Probabilities (N x K) of images as they are, with the cue, and (N x look-alikes x K) with look-alikes."""
    pixels = subject.pixels(indices)
    overlay = _overlay(subject, NamedCue(**cue), [donors[i] for i in indices])
    alike = [
        _probabilities(subject, lay(pixels, look_alike(overlay, number, seed)), batch_size)
        for number in range(1, LOOK_ALIKES + 1)
    ]
    return {
        "before": _probabilities(subject, pixels, batch_size).cpu().numpy(),
        "after": _probabilities(subject, lay(pixels, overlay), batch_size).cpu().numpy(),
        "alike": torch.stack(alike, dim=1).cpu().numpy(),
    }


def _look_for(subject: Subject, indices: Sequence[int], batch_size: int, cue: dict[str, Any]) -> dict[str, Any]:
    return {"found": _holes(subject, indices, NamedCue(**cue)).any(2).any(1).cpu().numpy()}


def _holes(subject: Subject, indices: Sequence[int], cue: NamedCue) -> Tensor:
    """Where the cue is: what is taken out, with its rim; N x H x W."""
    if cue.kind == "mask":
        return dilate(subject.masks(indices, cue=True), 1)
    overlay = drawn_cue(cue, subject.classifier.size, subject.classifier.channels)
    return dilate(find_overlay(subject.pixels(indices), overlay), 1)


def _remove(
    subject: Subject, indices: Sequence[int], batch_size: int, cue: dict[str, Any], seed: int
) -> dict[str, NDArray[Any]]:
    """Probabilities (N x K) without the cue, and without as much elsewhere; and the image without the cue."""
    pixels, holes = subject.pixels(indices), _holes(subject, indices, NamedCue(**cue))
    without = inpaint(pixels, holes)
    return {
        "without": _probabilities(subject, without, batch_size).cpu().numpy(),
        "elsewhere": _probabilities(subject, inpaint(pixels, elsewhere(holes)), batch_size).cpu().numpy(),
        "picture": (without * 255).round().byte().cpu().numpy(),
    }


def _probabilities(subject: Subject, pixels: Tensor, batch_size: int) -> Tensor:
    return logits_of(subject.classifier, pixels.clamp(0, 1), batch_size).softmax(1)


def _inserted(
    recording: Recording, found: dict[str, NDArray[Any]], rows: NDArray[np.int64], donors: NDArray[np.int64], seed: int
) -> Inserted | None:
    own, names = own_classes(recording), recording.subject.classifier.class_names
    before, after, alike = found["before"], found["after"], found["alike"].mean(1)
    effect, each = (after - alike).astype(np.float64), np.arange(len(rows))
    name = None
    if donors[rows[0]] >= 0:
        chosen = own[donors[rows]]
    else:
        name, chosen = spoken_for(effect, own[rows], seed, names)
    other = np.flatnonzero(chosen >= 0)
    if not len(other):
        return None
    at = (each[other], chosen[other])
    first = before.argmax(1)[:, None]
    gains = [np.flatnonzero(own[rows] != k) for k in range(len(names))]
    mean = np.array([effect[g, k].mean() if len(g) else -1.0 for k, g in enumerate(gains)])
    table = tuple(
        (
            names[k],
            float((after - before)[gains[k], k].mean()),
            float((alike - before)[gains[k], k].mean()),
            mean_difference(effect[gains[k], k].round(6)),
            len(gains[k]),
        )
        for k in np.argsort(-mean, kind="stable")[:LISTED]
        if len(gains[k])
    )
    return Inserted(
        images=other,
        spoken_for=name,
        rise=effect[at].round(6),
        with_cue=(after - before)[at].astype(np.float64),
        with_look_alike=(alike - before)[at].astype(np.float64),
        changed=after.argmax(1) != first[:, 0],
        changed_by_look_alike=(found["alike"].argmax(2) != first).mean(1),
        by_class=() if name is None else table,
    )


def _removed(recording: Recording, rows: NDArray[np.int64], taken: dict[str, NDArray[Any]]) -> Removed:
    first, each = recording.predicted[rows], np.arange(len(rows))
    return Removed(
        fall=(taken["elsewhere"] - taken["without"])[each, first].astype(np.float64).round(6),
        changed=taken["without"].argmax(1) != first,
        changed_elsewhere=taken["elsewhere"].argmax(1) != first,
    )


def _insertions(
    recording: Recording,
    named: NamedCue,
    rows: NDArray[np.int64],
    donors: NDArray[np.int64],
    found: dict[str, NDArray[Any]],
    inserted: Inserted,
    seed: int,
) -> list[ImageGrid]:
    """The images that the cue moves most: as they are, with the cue, with a look-alike."""
    subject, names = recording.subject, recording.subject.classifier.class_names
    grids = []
    for i in inserted.images[np.argsort(-inserted.rise, kind="stable")[:SHOWN]]:
        row, image = int(rows[i]), subject.pixels([int(rows[i])])
        overlay = _overlay(subject, named, [int(donors[row])])
        versions = (
            (image, found["before"][i], "as it is"),
            (lay(image, overlay), found["after"][i], "with the cue"),
            (lay(image, look_alike(overlay, 1, seed)), found["alike"][i, 0], "look-alike"),
        )
        first = names[found["before"][i].argmax()]
        grids.append(
            ImageGrid(
                title=f"{first}: {named.words}, put in",
                strip=True,
                items=[_item(p, q, note, names) for p, q, note in versions],
            )
        )
    return grids


def _removals(
    recording: Recording, named: NamedCue, rows: NDArray[np.int64], taken: dict[str, NDArray[Any]], removed: Removed
) -> list[ImageGrid]:
    """The images whose answer loses most by the removal: as they are, without the cue."""
    names, grids = recording.subject.classifier.class_names, []
    for i in np.argsort(-removed.fall, kind="stable")[: SHOWN - 1]:
        row = int(rows[i])
        image, without = recording.subject.pixels([row]), torch.from_numpy(taken["picture"][i][None] / 255)
        items = [
            _item(image, recording.probabilities[row], "as it is", names),
            _item(without, taken["without"][i], "without the cue", names),
        ]
        title = f"{names[recording.predicted[row]]}: {named.words}, taken out"
        grids.append(ImageGrid(title=title, items=items, strip=True))
    return grids


def _item(pixels: Tensor, probabilities: NDArray[Any], note: str, names: Sequence[str]) -> GridItem:
    best = int(probabilities.argmax())
    shown = picture(pixels[0].cpu().numpy(), f"An image {note}, answered {names[best]}")
    return GridItem(picture=shown, caption=names[best], note=f"{note}, {percent(probabilities[best])}")


def _estimate(label: str, differences: NDArray[np.float64]) -> Estimate:
    value, low, high = mean_difference(differences)
    return Estimate(label=label, value=value, low=low, high=high, n=len(differences), warn_at=WARN_AT, fail_at=FAIL_AT)


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]
