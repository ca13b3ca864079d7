"""reliance.cue: does a cue that the user names change the prediction?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import MIN_IMAGES, Limits, few
from deeptroubles.checks.options import CUE
from deeptroubles.checks.registry import check
from deeptroubles.checks.reliance.cue.associated_class import associated_class, own_classes
from deeptroubles.checks.reliance.cue.column import ColumnCue, column_cue
from deeptroubles.checks.wording import percent, plural, points, points_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.methods.reliance.treatments import treat
from deeptroubles.methods.transforms.inpaint import inpaint
from deeptroubles.methods.transforms.shared.find_overlay import find_overlay
from deeptroubles.methods.transforms.shared.masks import dilate, elsewhere
from deeptroubles.methods.transforms.shared.named_cue import NamedCue, drawn_cue, named_cue
from deeptroubles.methods.transforms.shared.overlay import Overlay, control, lay
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference, mean_share
from deeptroubles.subject import Subject, logits_of

FAIL_AT = 0.20
LIMITS = Limits(
    "the change in the associated class's probability when the cue is inserted, or in the prediction's when it is "
    "removed, relative to a control,",
    warn_at=0.05,
    fail_at=FAIL_AT,
    note="Controls of an insertion are the same overlay with shuffled blocks and other colors, the same area "
    "in-painted, and for a text other letters (for treatments, others that change images as much); the strongest "
    "counts. The control of a removal is in-painting of an equal area elsewhere. It never passes if the 95% interval "
    f"of the increase with the cue, without a control subtracted, reaches above {points(FAIL_AT)}. A removal counts "
    f"from {MIN_IMAGES} images on. The thresholds are conventions.",
    show=points,
)
MAX_IMAGES, FEWEST = 128, 64
"""Images that get a cue, and how many at least whatever the budget."""
CONTROLS = 3
LETTERS = (3, 7, 16)
"""How far in the alphabet the letters of other texts are from those of a text."""
COVERED, LARGE = 0.5, 0.5
"""From this opacity on a pixel counts as covered; a cue that covers more of an image than this cannot be in-painted."""
MAX_LISTED = 8
EXAMPLES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Inserted:
    """The effect of inserting a cue into images of other classes, next to a control.

    Attributes:
        images: The images it is measured on, those of other classes; N positions.
        associated: The class associated with the cue; None when it is the class of the image that the cue is from.
        rise: The increase of its probability with the cue, minus that with the control; N.
        with_cue: The increase with the cue; N.
        with_control: The increase with a control; N.
        changed: Whether the cue changes the prediction; one for each image shown.
        changed_by_control: Share of the controls that change it; one for each image shown.
        by_class: Class, increase with the cue and with the control, and difference with interval, of the classes that
            gain most.
    """

    images: NDArray[np.int64]
    associated: str | None
    rise: NDArray[np.float64]
    with_cue: NDArray[np.float64]
    with_control: NDArray[np.float64]
    changed: NDArray[np.bool_]
    changed_by_control: NDArray[np.float64]
    by_class: tuple[tuple[str, float, float, Interval, int], ...]


@dataclass(frozen=True, kw_only=True)
class Removed:
    """The effect of in-painting a cue, next to in-painting an equal area elsewhere.

    Attributes:
        fall: The decrease of the prediction's probability without the cue, minus that without the other area; N.
        changed: Whether removal changes the prediction; N.
        changed_elsewhere: Whether the other removal does; N.
    """

    fall: NDArray[np.float64]
    changed: NDArray[np.bool_]
    changed_elsewhere: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class CueEffect:
    """The effect of one cue that can be inserted into images or removed from them."""

    cue: NamedCue
    inserted: Inserted | None
    removed: Removed | None
    examples: tuple[ImageGrid, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        measured = [(part, mean_difference(part)) for part in self._parts()]
        verdicts = [LIMITS.verdict(effect, len(part)) for part, effect in measured]
        if self.inserted is not None and mean_difference(self.inserted.with_cue).high > FAIL_AT:
            verdicts.append(Verdict.INCONCLUSIVE)
        yield Finding(
            check="reliance.cue",
            verdict=min(verdicts, key=list(Verdict).index) if verdicts else Verdict.INCONCLUSIVE,
            severity=float(max(0.0, *(effect.value for _, effect in measured))) if measured else 0.0,
            claim="; ".join(self._claims()) + "."
            if self._claims()
            else f"Inconclusive: {self.cue.words} could not be inserted into any image (0 images).",
            criterion=LIMITS.criterion,
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
        if self.inserted is not None:
            part = self.inserted
            whom = f"“{part.associated}”" if part.associated else "the class that it comes from"
            verb = "raises" if min(part.with_cue.mean(), part.with_control.mean()) >= 0 else "changes"
            claims.append(
                f"Inserting {self.cue.words} into images of other classes {verb} the probability of {whom} by "
                f"{points(part.with_cue.mean())} and inserting a control by {points(part.with_control.mean())}, a "
                f"difference of {points_interval(mean_difference(part.rise))}"
            )
        if self.removed is not None:
            what = "removing it" if claims else f"Removing {self.cue.words}"
            claims.append(
                f"{what} from {plural(len(self.removed.fall), 'image')} lowers the prediction's probability by "
                f"{points_interval(mean_difference(self.removed.fall))} more than removing an equal area elsewhere"
            )
        return claims

    def _caveats(self) -> list[str]:
        parts = self._parts()
        caveats = list(few(min(map(len, parts)))) if parts else []
        if self.removed is None and self.cue.kind == "cut-out":
            caveats.append("It was not found in any image at the size at which it is inserted, so it was not removed.")
        elif self.removed is not None and len(self.removed.fall) < MIN_IMAGES and self.inserted is not None:
            caveats.append(f"The removal is based on only {plural(len(self.removed.fall), 'image')} and is not judged.")
        if self.inserted is not None and self.inserted.associated:
            caveats.append(
                "The associated class is chosen on one half of the images and measured on the other, so that the "
                "choice does not bias the effect."
            )
        if self.cue.kind == "treatment":
            return [*caveats, "A treatment is not removed; the controls are treatments that change images as much."]
        return [*caveats, "Part of the effect may come from hiding the object; the control hides an equal area."]

    def _evidence(self) -> list[Evidence]:
        evidence: list[Evidence] = []
        if self.inserted is not None:
            part, shown = self.inserted, self.inserted.associated or "the class that it comes from"
            evidence.append(_estimate(f"Inserted: increase for {shown}, relative to a control", part.rise))
        if self.removed is not None:
            evidence.append(
                _estimate("Removed: decrease for the prediction, relative to removal elsewhere", self.removed.fall)
            )
        evidence.extend(self.examples)
        if self.inserted is not None and self.inserted.by_class:
            columns = [
                Column(name="class"),
                Column(name="images of other classes", kind="number"),
                Column(name="increase with the cue", kind="share"),
                Column(name="with a control", kind="share"),
                Column(name="difference", kind="share"),
                Column(name="95% CI", kind="interval"),
            ]
            rows: list[list[Cell]] = [
                [name, count, round(cue, 4), round(control, 4), round(gap.value, 4), [gap.low, gap.high]]
                for name, cue, control, gap, count in self.inserted.by_class
            ]
            evidence.append(Table(title="The classes that gain most", columns=columns, rows=rows))
        changed = self._changes()
        evidence.append(Table(title="Predictions that change", columns=changed[0], rows=changed[1]))
        return evidence

    def _changes(self) -> tuple[list[Column], list[list[Any]]]:
        columns = [
            Column(name="change"),
            Column(name="images", kind="number"),
            Column(name="with the cue", kind="share"),
            Column(name="95% CI", kind="interval"),
            Column(name="with the control", kind="share"),
        ]
        rows: list[list[Any]] = []
        for what, part in (("inserted", self.inserted), ("removed", self.removed)):
            if part is None:
                continue
            control = part.changed_by_control if isinstance(part, Inserted) else part.changed_elsewhere
            share = mean_share(part.changed)
            rows.append([what, len(part.changed), share.value, [share.low, share.high], float(control.mean())])
        return columns, rows


@dataclass(frozen=True, kw_only=True)
class Cues:
    """The effects of all named cues."""

    effects: tuple[CueEffect | ColumnCue, ...]

    def findings(self) -> Iterable[Finding]:
        """One finding for each cue."""
        for effect in self.effects:
            yield from effect.findings()


@check("reliance.cue", options=[CUE])
def cue(recording: Recording, engine: Engine, *, seed: int) -> Cues:
    """Does a cue that you name change the prediction?

    What it asks:
        A cue is inserted into images of other classes, and removed from images that show it. How much does the
        probability of the associated class rise and fall? Name cues with `--cue` (repeatable):

        - `text:© horses.example@bottom-left` is a line of text; places are top-left, top, top-right, left, middle,
          right, bottom-left (the default), bottom and bottom-right. A size may follow the place: in
          `text:SALE@top:0.2`, the letters are 0.2 of the image's shorter side high (default 1/12).

        - `tag.png@bottom-left` is a cut-out: an image file whose transparent parts show the image, scaled to a third of
          its side; in `tag.png@top:0.5` its longer side is 0.5 of the image's shorter side. `frame.png@everywhere`
          covers the whole image, and `cues/@top` is a folder of cut-outs, each a cue of its own.

        - `color:#ff8800` is a color cast.

        - `column:photographer` is a column of the manifest: nothing is inserted, and predictions for images of the same
          class are compared between the column's values.

        - `mask` is what the manifest's column `cue_mask` marks: it is removed there, and inserted into images of other
          classes.

        - `run:FOLDER` is all cues that `reliance.shortcut` found in another audit, `run:FOLDER/NAME` is one of them. A
          patch is inserted where it was found; a treatment, such as compression, is applied to the whole image.

        - `watermark` (the default without --cue) is that of ImageNet-W, redrawn.

    Why it matters:
        A classifier that predicts horse from the name of a website with horses is correct only on photographs of that
        website. A published ResNet-50 loses 25 points of accuracy on ImageNet to a watermark that occurred on training
        photographs of cartons.

    How to read it:
        The first estimate is the increase of the associated class's probability with the cue, minus that with the
        strongest control: the same overlay with shuffled blocks and other colors, the same area in-painted, or a text
        of other letters. The second is the decrease of the prediction's probability when the cue is in-painted, minus
        that for an equal area elsewhere. The strips show an image unchanged, with the cue, and with a control.

    Limits:
        A network that reacts to any writing reacts to the controls too; then the difference is small, and both numbers
        should be read. A cut-out is found only at the size at which it is inserted. For a column, anything that
        correlates with a value counts as its effect.

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
    rows = recording.sample(recording.affordable(MAX_IMAGES, 2 + 2 * CONTROLS, FEWEST))
    fields = asdict(named)
    shows = recording.cue_masked if named.kind == "mask" else _found(recording, engine, named)
    donors = np.full(len(own), -1)
    if named.kind == "mask":
        donors = _donors(own, shows, seed)
        rows = rows[donors[rows] >= 0]
    rows = np.setdiff1d(rows, shows)  # images that show the cue already
    inserted: Inserted | None = None
    examples: list[ImageGrid] = []
    if len(rows):
        task = f"Inserting {named.words}"
        found = engine.map(_insert, recording.subject, rows, task=task, cue=fields, donors=donors.tolist(), seed=seed)
        inserted = _inserted(recording, found, rows, donors, seed)
        if inserted is not None:
            examples += _insertions(recording, named, rows, donors, found, inserted, seed)
    removed = None
    if len(shows):
        taken = engine.map(_remove, recording.subject, shows[:MAX_IMAGES], task=f"Removing {named.words}", cue=fields)
        removed = _removed(recording, shows[:MAX_IMAGES], taken)
        examples += _removals(recording, named, shows[:MAX_IMAGES], taken, removed)
    return CueEffect(cue=named, inserted=inserted, removed=removed, examples=tuple(examples))


def _found(recording: Recording, engine: Engine, named: NamedCue) -> NDArray[np.int64]:
    """The rows in which a cut-out is found."""
    if named.kind != "cut-out":
        return np.zeros(0, dtype=np.int64)
    everything = range(len(recording.logits))
    seen = engine.map(_search, recording.subject, everything, task=f"Searching {named.words}", cue=asdict(named))
    return np.flatnonzero(seen["found"])


def _donors(own: NDArray[np.int64], shows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each image, one of another class that shows the cue; -1 where there is none. N."""
    donors = np.full(len(own), -1)
    for row in range(len(own)):
        others = shows[own[shows] != own[row]]
        if len(others):
            donors[row] = np.random.default_rng([seed, row]).choice(others)
    return donors


def _versions(
    subject: Subject, cue: NamedCue, pixels: Tensor, donors: Sequence[int], seed: int
) -> tuple[Tensor, list[Tensor]]:
    """Images with the cue, and with each control."""
    if cue.kind == "treatment":
        controls = [treat(pixels, name, amount) for name, amount in cue.controls]
        return treat(pixels, cue.content, cue.amount), controls or [pixels]
    overlay = _overlay(subject, cue, donors)
    controls = [lay(pixels, control(overlay, i, seed)) for i in range(1, CONTROLS + 1)]
    controls += [lay(pixels, _overlay(subject, text, donors)) for text in other_texts(cue)]
    covered = (overlay.cover[:, 0] >= COVERED).to(pixels.device)
    if float(covered.float().mean()) < LARGE:
        controls.append(inpaint(pixels, covered.expand(len(pixels), -1, -1)))
    return lay(pixels, overlay), controls


def other_texts(cue: NamedCue) -> list[NamedCue]:
    """Texts with other letters and digits in place of those of a text; none where it has neither."""
    if cue.kind != "text":
        return []
    shifted = [cue.content.translate(_other_letters(step)) for step in LETTERS]
    return [replace(cue, content=text) for text in shifted if text != cue.content]


def _other_letters(step: int) -> dict[int, str]:
    """Each letter and digit by the one `step` further, cyclically."""
    alphabets = (ascii_lowercase, ascii_uppercase, digits)
    return {ord(c): every[(i + step) % len(every)] for every in alphabets for i, c in enumerate(every)}


def _overlay(subject: Subject, cue: NamedCue, donors: Sequence[int]) -> Overlay:
    """The cue for images of a subject; for marked cues that of each image's donor."""
    if cue.kind == "mask":
        masks = dilate(subject.masks(donors, cue=True), 1)
        return Overlay(subject.pixels(donors), masks[:, None].float())
    return drawn_cue(cue, subject.classifier.size, subject.classifier.channels)


def _insert(
    subject: Subject, indices: Sequence[int], batch_size: int, cue: dict[str, Any], donors: Sequence[int], seed: int
) -> Arrays:
    """Probabilities (N x K) of images unchanged, with the cue, and (N x controls x K) with controls."""
    pixels = subject.pixels(indices)
    shown, controls = _versions(subject, NamedCue(**cue), pixels, [donors[i] for i in indices], seed)
    controlled = [_probabilities(subject, each, batch_size) for each in controls]
    return {
        "before": _probabilities(subject, pixels, batch_size).cpu().numpy(),
        "after": _probabilities(subject, shown, batch_size).cpu().numpy(),
        "controls": torch.stack(controlled, dim=1).cpu().numpy(),
    }


def _search(subject: Subject, indices: Sequence[int], batch_size: int, cue: dict[str, Any]) -> Arrays:
    return {"found": _holes(subject, indices, NamedCue(**cue)).any(2).any(1).cpu().numpy()}


def _holes(subject: Subject, indices: Sequence[int], cue: NamedCue) -> Tensor:
    """Where the cue is, with its rim; N x H x W."""
    if cue.kind == "mask":
        return dilate(subject.masks(indices, cue=True), 1)
    overlay = drawn_cue(cue, subject.classifier.size, subject.classifier.channels)
    return dilate(find_overlay(subject.pixels(indices), overlay), 1)


def _remove(subject: Subject, indices: Sequence[int], batch_size: int, cue: dict[str, Any]) -> Arrays:
    """Probabilities (N x K) without the cue, and without an equal area elsewhere; and the image without the cue."""
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
    recording: Recording, found: Arrays, rows: NDArray[np.int64], donors: NDArray[np.int64], seed: int
) -> Inserted | None:
    own, names = own_classes(recording), recording.subject.classifier.class_names
    before, after, alike = found["before"], found["after"], _strongest(found["controls"])
    effect, each = (after - alike).astype(np.float64), np.arange(len(rows))
    name = None
    if donors[rows[0]] >= 0:
        chosen = own[donors[rows]]
    else:
        name, chosen = associated_class(effect, own[rows], seed, names)
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
        for k in np.argsort(-mean, kind="stable")[:MAX_LISTED]
        if len(gains[k])
    )
    return Inserted(
        images=other,
        associated=name,
        rise=effect[at].round(6),
        with_cue=(after - before)[at].astype(np.float64),
        with_control=(alike - before)[at].astype(np.float64),
        changed=after.argmax(1) != first[:, 0],
        changed_by_control=(found["controls"].argmax(2) != first).mean(1),
        by_class=() if name is None else table,
    )


def _strongest(controls: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each class the control that makes it most probable, N x classes; `controls` is N x controls x classes."""
    strongest = controls.mean(0).argmax(0)
    return controls[:, strongest, np.arange(controls.shape[2])]


def _removed(recording: Recording, rows: NDArray[np.int64], taken: Arrays) -> Removed:
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
    found: Arrays,
    inserted: Inserted,
    seed: int,
) -> list[ImageGrid]:
    """The images with the largest effect: unchanged, with the cue, with a control."""
    subject, names = recording.subject, recording.subject.classifier.class_names
    grids = []
    for i in inserted.images[np.argsort(-inserted.rise, kind="stable")[:EXAMPLES_SHOWN]]:
        row, image = int(rows[i]), subject.pixels([int(rows[i])])
        shown, controls = _versions(subject, named, image, [int(donors[row])], seed)
        versions = (
            (image, found["before"][i], "unchanged"),
            (shown, found["after"][i], "with the cue"),
            (controls[0], found["controls"][i, 0], "with a control"),
        )
        first = names[found["before"][i].argmax()]
        grids.append(
            ImageGrid(
                title=f"{first}: {named.words}, inserted",
                strip=True,
                items=[_item(p, q, note, names) for p, q, note in versions],
            )
        )
    return grids


def _removals(
    recording: Recording, named: NamedCue, rows: NDArray[np.int64], taken: Arrays, removed: Removed
) -> list[ImageGrid]:
    """The images whose prediction loses most by the removal: unchanged, and without the cue."""
    names, grids = recording.subject.classifier.class_names, []
    for i in np.argsort(-removed.fall, kind="stable")[: EXAMPLES_SHOWN - 1]:
        row = int(rows[i])
        image, without = recording.subject.pixels([row]), torch.from_numpy(taken["picture"][i][None] / 255)
        items = [
            _item(image, recording.probabilities[row], "unchanged", names),
            _item(without, taken["without"][i], "without the cue", names),
        ]
        title = f"{names[recording.predicted[row]]}: {named.words}, removed"
        grids.append(ImageGrid(title=title, items=items, strip=True))
    return grids


def _item(pixels: Tensor, probabilities: NDArray[Any], note: str, names: Sequence[str]) -> GridItem:
    best = int(probabilities.argmax())
    shown = picture(pixels[0].cpu().numpy(), f"An image {note}, predicted as {names[best]}")
    return GridItem(picture=shown, caption=names[best], note=f"{note}, {percent(probabilities[best])}")


def _estimate(label: str, differences: NDArray[np.float64]) -> Estimate:
    return LIMITS.estimate(label, mean_difference(differences), len(differences))
