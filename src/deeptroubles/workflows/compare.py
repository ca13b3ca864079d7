"""Compare audits of the same images: what got better or worse by more than chance, and on which images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from deeptroubles.checks.wording import listed, plural
from deeptroubles.display import Brief
from deeptroubles.errors import DeeptroublesError
from deeptroubles.findings import Audit, Column, Estimate, Evidence, Finding, GridItem, ImageGrid, Table, Verdict
from deeptroubles.images import load_images
from deeptroubles.pictures import picture
from deeptroubles.run.folder import read_audit
from deeptroubles.run.origin import read_origin
from deeptroubles.run.tables import read_table
from deeptroubles.statistics.error_consistency import ErrorConsistency, error_consistency
from deeptroubles.statistics.holm import holm
from deeptroubles.statistics.intervals import Interval, mean_difference, wilson

ALPHA = 0.05
"""The probability of any difference being found where there is none, over all comparisons of two runs."""
ACCURACY = "accuracy on the same images"
SHOWN = 24
_SIDE = 96


@dataclass(frozen=True, kw_only=True)
class Change:
    """One estimate in both runs.

    Attributes:
        check: The check.
        label: The estimate's label.
        before: The estimate in the base.
        after: The estimate in the other run.
        difference: `after` minus `before`, with its 95% interval.
        p: The probability of so large a difference by chance, corrected for the number of comparisons.
        paired: Whether it was tested image by image.
    """

    check: str
    label: str
    before: Estimate
    after: Estimate
    difference: Interval
    p: float
    paired: bool = False

    @property
    def is_clear(self) -> bool:
        """Whether it is more than chance."""
        return self.p < ALPHA

    @property
    def is_worse(self) -> bool:
        """Whether it clearly got worse."""
        return self.is_clear and (self.difference.value > 0) == self.before.higher_is_worse

    @property
    def is_better(self) -> bool:
        """Whether it clearly got better."""
        return self.is_clear and not self.is_worse


@dataclass(frozen=True, repr=False)
class Comparison(Brief):
    """Two audits side by side.

    Attributes:
        before: The base.
        after: The other audit.
        changes: Every estimate that both have, worse ones first.
        verdicts: Check, verdict before and verdict after, of every check that is in either; '' where it is not.
        lost: Paths of images that only the base predicts correctly.
        won: Paths of images that only the other does.
        errors: Whether both are wrong on the same images; None without labelled images in common.
        notes: What could not be compared, and why.
    """

    before: Audit
    after: Audit
    changes: tuple[Change, ...]
    verdicts: tuple[tuple[str, str, str], ...]
    lost: tuple[str, ...]
    won: tuple[str, ...]
    errors: ErrorConsistency | None
    notes: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[Change, ...]:
        """What got worse by more than chance."""
        return tuple(change for change in self.changes if change.is_worse)

    @property
    def better(self) -> tuple[Change, ...]:
        """What got better by more than chance."""
        return tuple(change for change in self.changes if change.is_better)

    @property
    def newly_failing(self) -> tuple[str, ...]:
        """Checks that fail now and did not before."""
        return tuple(name for name, was, now in self.verdicts if now == Verdict.FAIL and was not in {"", Verdict.FAIL})


def compare(before: Path | str, after: Path | str, *, seed: int = 0) -> Comparison:
    """Compare an audit with that of another model, or of a later version, on the same images.

    Accuracy is compared image by image (McNemar's exact test). Other estimates are compared by their intervals as if
    the images were different ones, which is cautious: on the same images less varies. All p-values of a comparison are
    corrected together (Holm).

    Args:
        before: The folder of the base.
        after: The folder of the other audit.
        seed: Seed of the resampling of the interval of kappa.

    Raises:
        RunFolderError: A folder holds no complete audit.

    References:
        Q. McNemar: Note on the sampling error of the difference between correlated proportions, Psychometrika 1947.
        G. Y. Zou, A. Donner: Construction of confidence limits about effect measures, Statistics in Medicine 2008.
    """
    audits = read_audit(before), read_audit(after)
    right = _right(before, after)
    notes = []
    changes = []
    if audits[0].images.fingerprint == audits[1].images.fingerprint:
        changes += list(_changes(*audits))
    else:
        notes.append(
            f"The audits are about different images, so only the predictions for the "
            f"{plural(len(right), 'image')} that both have were compared, not their estimates."
        )
    if len(right):
        changes.insert(0, _accuracy(right.to_numpy()))
    changes = _corrected(changes)
    lost, won = (right.index[right.iloc[:, a] & ~right.iloc[:, 1 - a]] for a in (0, 1))
    errors = (
        error_consistency(right.iloc[:, 0].to_numpy(), right.iloc[:, 1].to_numpy(), seed=seed) if len(right) else None
    )
    order = sorted(changes, key=lambda c: (not c.is_worse, not c.is_better, c.p))
    return Comparison(*audits, tuple(order), tuple(_verdicts(*audits)), tuple(lost), tuple(won), errors, tuple(notes))


def comparison_report(found: Comparison, images: Path | str | None = None) -> Audit:
    """A comparison as findings, so that every presenter of audits shows it.

    Args:
        found: The comparison.
        images: The folder of the run whose images are shown. Default: none are.
    """
    before, after = found.before, found.after
    title = f"{after.model.name} (compared with {before.model.name})"
    return replace(
        after,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        command="",
        model=replace(after.model, name=title),
        images=replace(after.images, notes=[*after.images.notes, *found.notes]),
        findings=[_estimates(found), _predictions(found, images), _changed_verdicts(found)],
        guides={},
        durations={},
    )


def _right(before: Path | str, after: Path | str) -> pd.DataFrame:
    """Which images each run predicts correctly, by path: of those that both have with a known class."""
    columns = []
    for folder in (before, after):
        file = Path(folder) / "tables" / "images.parquet"
        table = read_table(file, "give the folder of a complete audit", ["path", "correct"])
        columns.append(table.drop_duplicates("path").set_index("path")["correct"])
    return pd.concat(columns, axis=1, join="inner", keys=["before", "after"]).dropna().astype(bool)


def _accuracy(right: NDArray[np.bool_]) -> Change:
    """Accuracy of both on the same images, tested on those that only one predicts correctly."""
    only = [int((right[:, a] & ~right[:, 1 - a]).sum()) for a in (0, 1)]
    p = float(stats.binomtest(only[0], sum(only)).pvalue) if sum(only) else 1.0
    shares = [wilson(int(each.sum()), len(each)) for each in right.T]
    both = [
        Estimate(label=ACCURACY, value=s.value, low=s.low, high=s.high, n=len(right), higher_is_worse=False)
        for s in shares
    ]
    difference = mean_difference(right[:, 1].astype(float) - right[:, 0])
    return Change(
        check="performance.accuracy",
        label=ACCURACY,
        before=both[0],
        after=both[1],
        difference=difference,
        p=p,
        paired=True,
    )


def _changes(before: Audit, after: Audit) -> Iterator[Change]:
    """Every estimate that both audits have and that can be compared, but for accuracy, which is paired."""
    known = _measured(before)
    for (check, label), estimate in _measured(after).items():
        base = known.get((check, label))
        if base and base.level == estimate.level and (check, label) != ("performance.accuracy", "Accuracy"):
            yield _unpaired(check, base, estimate)


def _measured(audit: Audit) -> dict[tuple[str, str], Estimate]:
    """The estimates of an audit, by check and label. Of several findings of a check the first counts: the worst one."""
    found: dict[tuple[str, str], Estimate] = {}
    for finding in audit.findings:
        for estimate in finding.evidence:
            if isinstance(estimate, Estimate) and np.isfinite([estimate.low, estimate.value, estimate.high]).all():
                found.setdefault((finding.check, estimate.label), estimate)
    return found


def _unpaired(check: str, before: Estimate, after: Estimate) -> Change:
    """Two estimates by their intervals: square-and-add, and the level at which the interval would touch 0."""
    value = after.value - before.value
    low = float(np.hypot(after.value - after.low, before.high - before.value))
    high = float(np.hypot(after.high - after.value, before.value - before.low))
    towards_zero = low if value > 0 else high
    scale = float(stats.norm.ppf((1 + after.level) / 2))
    ratio = abs(value) / towards_zero if towards_zero > 0 else np.inf
    p = float(2 * stats.norm.sf(ratio * scale)) if value else 1.0
    difference = Interval(value, value - low, value + high)
    return Change(check=check, label=after.label, before=before, after=after, difference=difference, p=p)


def _corrected(changes: Sequence[Change]) -> list[Change]:
    corrected = holm(np.array([change.p for change in changes]))
    return [replace(change, p=float(p)) for change, p in zip(changes, corrected, strict=True)]


def _verdicts(before: Audit, after: Audit) -> Iterator[tuple[str, str, str]]:
    """The worst verdict of every check in both audits."""
    order = list(Verdict)
    worst = [
        {name: min((f.verdict for f in audit.findings if f.check == name), key=order.index) for name in _checks(audit)}
        for audit in (before, after)
    ]
    for name in dict.fromkeys([*_checks(before), *_checks(after)]):
        yield name, str(worst[0].get(name, "")), str(worst[1].get(name, ""))


def _checks(audit: Audit) -> Iterable[str]:
    return dict.fromkeys(finding.check for finding in audit.findings)


def _estimates(found: Comparison) -> Finding:
    worse, better = (listed([c.label for c in changes][:4]) for changes in (found.worse, found.better))
    parts = []
    if worse:
        parts.append(f"{plural(len(found.worse), 'estimate')} got worse by more than chance: {worse}.")
    if better:
        parts.append(f"{plural(len(found.better), 'estimate')} got better by more than chance: {better}.")
    same = len(found.changes) - len(found.worse) - len(found.better)
    parts.append(f"{plural(same, 'estimate')} did not change by more than chance.")
    columns = [Column(name="check"), Column(name="estimate"), Column(name="before", kind="number")]
    columns += [Column(name="after", kind="number"), Column(name="difference", kind="number")]
    columns += [
        Column(name="95% CI", kind="interval"),
        Column(name="p, corrected", kind="number"),
        Column(name="change"),
    ]
    rows = [
        [
            change.check,
            change.label + (" (image by image)" if change.paired else ""),
            round(change.before.value, 4),
            round(change.after.value, 4),
            round(change.difference.value, 4),
            [round(change.difference.low, 4), round(change.difference.high, 4)],
            round(change.p, 4),
            "worse" if change.is_worse else "better" if change.is_better else "no clear change",
        ]
        for change in found.changes
    ]
    return Finding(
        check="compare.estimates",
        verdict=Verdict.FAIL if found.worse else Verdict.PASS,
        claim=" ".join(parts),
        criterion=f"Fails if any estimate got worse (p < {ALPHA}, corrected for {plural(len(rows), 'comparison')}).",
        evidence=[Table(title="Every estimate, worse ones first", columns=columns, rows=rows)],
        caveats=[
            "Estimates that are not compared image by image must differ more to count, so small changes are missed.",
            (
                "Of a check with several findings, the worst one of each audit is compared. The two can be about "
                "different things, such as two shortcuts."
            ),
        ],
    )


def _predictions(found: Comparison, images: Path | str | None) -> Finding:
    accuracy = next((change for change in found.changes if change.label == ACCURACY), None)
    if accuracy is None:
        return Finding(
            check="compare.predictions",
            verdict=Verdict.SKIPPED,
            claim="The audits have no labelled image in common.",
            criterion="",
        )
    difference = accuracy.difference
    evidence: list[Evidence] = [
        Estimate(
            label="Difference in accuracy on the same images",
            value=difference.value,
            low=difference.low,
            high=difference.high,
            n=accuracy.before.n,
            higher_is_worse=False,
        )
    ]
    evidence += [
        ImageGrid(title=title, items=items)
        for title, paths in (("Right before, wrong now", found.lost), ("Wrong before, right now", found.won))
        if (items := _pictures(paths, images))
    ]
    points = [f"{100 * value:+.1f}" for value in (difference.value, difference.low, difference.high)]
    kappa = "" if found.errors is None or np.isnan(found.errors.kappa.value) else _kappa_words(found.errors)
    return Finding(
        check="compare.predictions",
        verdict=Verdict.FAIL if accuracy.is_worse else Verdict.PASS,
        claim=f"Accuracy changed by {points[0]} points (95% CI {points[1]} to {points[2]}) on the same "
        f"{plural(accuracy.before.n, 'image')}: {len(found.lost)} are wrong that were right, {len(found.won)} are "
        f"right that were wrong.{kappa}",
        criterion="Fails if accuracy got worse (McNemar's exact test, corrected with all other comparisons).",
        evidence=evidence,
    )


def _kappa_words(errors: ErrorConsistency) -> str:
    kappa = errors.kappa
    return (
        f" Cohen's kappa of the errors is {kappa.value:.2f} (95% CI {kappa.low:.2f} to {kappa.high:.2f}; 1: the same "
        "errors, 0: independent ones)."
    )


def _pictures(paths: Sequence[str], run: Path | str | None) -> list[GridItem]:
    """Some images, as the folder of a run says where they are; none where they cannot be read."""
    origin = read_origin(Path(run)) if run else None
    if origin is None or not paths:
        return []
    try:
        images = load_images(origin.images, **origin.images_options)
        rows = {str(path): row for row, path in enumerate(images.table["path"])}
        items = []
        for path in [path for path in paths if path in rows][:SHOWN]:
            image = images[rows[path]].convert("RGB")
            image.thumbnail((_SIDE, _SIDE))
            shown = picture(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255, path)
            items.append(GridItem(picture=shown, caption=images.labels[rows[path]] or "", note=Path(path).name))
    except (DeeptroublesError, OSError, TypeError):
        return []
    return items


def _changed_verdicts(found: Comparison) -> Finding:
    both = [was != now for _, was, now in found.verdicts if was and now]
    rest = len(found.verdicts) - len(both)
    only = f" {plural(rest, 'check')} ran in one audit only." if rest else ""
    rows = [
        [name, was or "not run", now or "not run", "changed" if was and now and was != now else ""]
        for name, was, now in found.verdicts
    ]
    rows.sort(key=lambda row: row[3] == "")
    names = [Column(name=name) for name in ("check", "before", "after", "")]
    fails = "fails" if len(found.newly_failing) == 1 else "fail"
    failing = f" {listed(found.newly_failing)} {fails} now." if found.newly_failing else ""
    return Finding(
        check="compare.verdicts",
        verdict=Verdict.WARN if found.newly_failing else Verdict.PASS,
        claim=f"The verdict of {sum(both)} of {plural(len(both), 'check')} that both ran changed.{only}{failing}",
        criterion="Warns if a check fails that did not fail before. A verdict near a threshold can change by chance.",
        evidence=[Table(title="Verdicts", columns=names, rows=rows)],
    )
