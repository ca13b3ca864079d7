"""An audit, top to bottom: plan, record once, run every check, keep what was found."""

from __future__ import annotations

import logging
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeptroubles.checks.options import read_options
from deeptroubles.checks.references import with_references
from deeptroubles.checks.registry import Check, Keeper, Result, all_checks, chosen_checks
from deeptroubles.classifier import Classifier, expect_classifier
from deeptroubles.engine import Engine, LocalEngine, MakeEngine
from deeptroubles.errors import ModelError, RunFolderError
from deeptroubles.findings import Audit, Finding, Guide, ImageFacts, ModelFacts, Verdict, worst_first
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import readable
from deeptroubles.memory import return_freed_memory
from deeptroubles.models.trained import learning_curves
from deeptroubles.progress import current_sink
from deeptroubles.recording import Recording, record
from deeptroubles.report import write_report
from deeptroubles.run.folder import RunFolder, read_audit
from deeptroubles.run.lock import locked
from deeptroubles.run.pixels import keeping_pixels, parse_size
from deeptroubles.workflows.budget import budget_for
from deeptroubles.workflows.time_left import TimeLeft

_log = logging.getLogger(__name__)
REPORT = "report.html"
"""The report's name in a run folder."""
BUDGET = 600.0
"""Seconds for the checks of an audit, where nothing else is said."""


def audit(
    classifier: Classifier,
    images: ImageSet,
    out: Path | str | None = None,
    *,
    checks: str | Sequence[str] | None = None,
    skip: str | Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 32,
    budget: float | None = BUDGET,
    keep_pixels: int | str | None = None,
    engine: MakeEngine = LocalEngine,
    command: str = "",
    **options: Any,
) -> Audit:
    """Run checks on a classifier and its images.

    Args:
        classifier: What is audited.
        images: What it is audited on.
        out: Folder for the run. An interrupted run in the same folder is resumed, and what the folder already holds
            of other checks stays in the report. Default: nothing is kept.
        checks: Names or families of checks, or one of them. Default: all but those that run on request only.
        skip: Names or families of checks to leave out, or one of them.
        seed: Seed of everything random; the same seed gives the same findings.
        batch_size: How many images are processed at once.
        budget: About how many seconds the checks may take together; those that would need more look at fewer images.
            None: every image is looked at where the verdict is not decided earlier.
        keep_pixels: How much disk the decoded images may take until the audit is complete, in bytes or as a text such
            as "4GB". Images beyond that are decoded whenever they are needed. Default: a quarter of the free space.
        engine: Makes what does the work. Default: this process does.
        command: What to say in the report about how it was made.
        **options: What some checks need from you, such as `cue`, `concept`, `group` and `conflict`: a text or several;
            `deeptroubles help CHECK` says more. Options of checks that do not run are not looked at.

    Returns:
        The audit, its findings worst first. With `out`, the folder holds it as `audit.json` with tables and pictures,
        and as `report.html`; both are written after every check.

    Raises:
        ImagesError: No image could be read, or images given in an option cannot be used.
        ModelError: The classifier's output is NaN or infinite.
        RunFolderError: The folder holds another run, another audit is writing to it, or it cannot be written.
        UsageError: There is no such check or option, no check is left, or an option's value cannot be used.
    """
    return run_checks(
        chosen_checks(checks, skip),
        classifier,
        images,
        out,
        options,
        seed=seed,
        batch_size=batch_size,
        budget=budget,
        keep_pixels=keep_pixels,
        engine=engine,
        command=command,
    ).audit


@dataclass(frozen=True)
class Checked:
    """A finished audit.

    Attributes:
        audit: The findings.
        results: What each check measured, by its name; a check that did not finish has no result.
        folder: Where the run is kept, if it is.
    """

    audit: Audit
    results: Mapping[str, Result]
    folder: RunFolder | None


def run_checks(
    planned: Sequence[Check],
    classifier: Classifier,
    images: ImageSet,
    out: Path | str | None,
    options: Mapping[str, Any],
    *,
    seed: int,
    batch_size: int,
    engine: MakeEngine,
    command: str,
    budget: float | None = BUDGET,
    keep_pixels: int | str | None = None,
    **identity: str,
) -> Checked:
    """Read the options of the planned checks, record once, run each check, and keep what was found after each.

    Arguments and errors are those of `audit`; `identity` is what else the run is about.
    """
    expect_classifier(classifier)
    read = read_options(options, [option for check in planned for option in check.takes], classifier, images)
    most = None if keep_pixels is None else parse_size(keep_pixels)
    folder = open_run(out, classifier, images, seed, **identity)
    started = time.monotonic()
    with locked(folder.path) if folder else nullcontext(), keeping_pixels(folder, most) as pixels:
        worker = engine(folder, batch_size)
        recording = record(classifier, images, worker, read, pixels)
        if budget is not None:
            recording = replace(recording, budget=budget_for(budget, recording, worker, len(planned)))
        return _run_checks(planned, images, recording, folder, worker, seed, command, started)


def _run_checks(
    planned: Sequence[Check],
    images: ImageSet,
    recording: Recording,
    folder: RunFolder | None,
    worker: Engine,
    seed: int,
    command: str,
    started: float,
) -> Checked:
    """Run each check, and write what was found after each."""
    if folder:
        folder.write_table("images", image_table(recording))
    unasked = [check for check in all_checks().values() if check.always and check not in planned]
    guides = {check.name: check.guide for check in (*unasked, *planned)}
    result = _begun(images, recording, guides, command=command, seed=seed)
    if folder:
        result = _with_earlier(result, folder)
    earlier, results = result.seconds, {}
    possible = [check.name for check in (*unasked, *planned) if not check.missing(recording)]
    left = TimeLeft(possible, len(recording.logits), recording.budget) if recording.budget else None
    for check in (*unasked, *planned):
        current_sink().stage(check.name, guides[check.name].question)
        began = time.monotonic()
        try:
            found, measured = ask(check, recording, worker, seed, folder)
        except KeyboardInterrupt:
            _write(replace(result, status="interrupted"), folder)
            raise
        if measured is not None:
            results[check.name] = measured
        if check in unasked:
            found = [finding for finding in found if finding.verdict not in {Verdict.PASS, Verdict.SKIPPED}]
        now = time.monotonic()
        result = replace(
            result,
            findings=worst_first([*result.findings, *found]),
            seconds=round(earlier + now - started, 1),
            durations=result.durations | {check.name: round(now - began, 1)},
        )
        _write(result, folder)
        return_freed_memory()
        if found:
            current_sink().concluded(check.name, worst_first(found)[0].verdict, now - began)
        if left:
            current_sink().time_left(left.after(check.name, now - began))
    result = replace(result, status="complete")
    _write(result, folder)
    return Checked(result, results, folder)


def _write(result: Audit, folder: RunFolder | None) -> None:
    """Write an audit and its report, where there is a folder."""
    if folder:
        folder.write_audit(result)
        write_report(result, folder.path / REPORT)


def _with_earlier(begun: Audit, folder: RunFolder) -> Audit:
    """An audit that begins, with what the same version of this package found earlier in its folder by other checks."""
    try:
        held = read_audit(folder.path)
    except RunFolderError:
        return begun  # there is none, or a damaged one
    findings = [finding for finding in held.findings if finding.check not in begun.guides]
    if not findings or held.environment.get("deeptroubles") != begun.environment["deeptroubles"]:
        return begun
    names = {finding.check for finding in findings}
    durations = {name: seconds for name, seconds in held.durations.items() if name in names}
    return replace(
        begun,
        findings=findings,
        guides={name: guide for name, guide in held.guides.items() if name in names} | begun.guides,
        durations=durations,
        seconds=round(sum(durations.values()), 1),
        command="\n".join(dict.fromkeys([*held.command.splitlines(), *begun.command.splitlines()])),
    )


def _begun(images: ImageSet, recording: Recording, guides: dict[str, Guide], *, command: str, seed: int) -> Audit:
    """An audit that begins: what it is about, and how to read what it will find."""
    return Audit(
        status="running",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0,
        command=readable(command),
        seed=seed,
        environment=_environment(recording.subject.classifier),
        model=_model_facts(recording.subject.classifier),
        images=_image_facts(images, recording),
        findings=[],
        guides=guides,
    )


def ask(
    check: Check, recording: Recording, engine: Engine, seed: int, folder: RunFolder | None = None
) -> tuple[list[Finding], Result | None]:
    """Run one check: its findings, and what it measured. What it wants to keep is written into the folder.

    A check without what it needs, from you or from the model, is skipped; one that crashes becomes an error; the audit
    continues.
    """
    missing = check.missing(recording)
    if check.needs_labels and recording.labels.undecided:
        return [_undecided(check, recording)], None
    if missing:
        claim = f"Skipped: {missing}."
        return [Finding(check=check.name, verdict=Verdict.SKIPPED, claim=claim, criterion="")], None
    random_state = torch.get_rng_state()
    try:
        result = check.function(recording, engine, seed=seed)
        beside = recording.labels.caveats if check.needs_labels else []
        found = [_completed(f, check, beside) for f in result.findings()]
        if folder and isinstance(result, Keeper):
            result.keep(folder)
    except RunFolderError:
        raise  # nothing can be kept any more: the run stops here, and is resumed from here
    except ModelError as error:
        return [Finding(check=check.name, verdict=Verdict.SKIPPED, claim=f"Skipped: {error}", criterion="")], None
    except Exception as error:  # noqa: BLE001 (whatever a check does, the audit continues)
        _log.debug("check %s crashed", check.name, exc_info=True)
        where = traceback.extract_tb(error.__traceback__)[-1]
        claim = (
            f"The check crashed: {type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})."
        )
        caveat = "Other findings are not affected. If your model did not raise this error, please report it."
        return [Finding(check=check.name, verdict=Verdict.ERROR, claim=claim, criterion="", caveats=[caveat])], None
    else:
        return found, result
    finally:
        torch.set_rng_state(random_state)


def _completed(finding: Finding, check: Check, caveats: Sequence[str]) -> Finding:
    """A finding with more caveats and with what is known of other networks: what is usual, whether it is common."""
    common = check.common and finding.verdict in {Verdict.FAIL, Verdict.WARN}
    return replace(with_references(finding), common=common, caveats=[*finding.caveats, *caveats])


def _undecided(check: Check, recording: Recording) -> Finding:
    """The finding of a check that needs labels, where it is open what they mean."""
    claim = "Not measured: it is open which class each label means (see data.classes)."
    caveats = [recording.labels.undecided]
    return Finding(check=check.name, verdict=Verdict.INCONCLUSIVE, claim=claim, criterion="", caveats=caveats)


def image_table(recording: Recording) -> pd.DataFrame:
    """One row per readable image: its own columns, the true class, the prediction, its probability, its correctness.

    A column of the manifest with one of our names gets `given_` in front.
    """
    names = np.array(recording.subject.classifier.class_names)
    known = recording.targets >= 0
    ours = ("true_class", "prediction", "probability", "correct")
    given = recording.subject.images.table.reset_index(drop=True)
    table = given.rename(columns={name: f"given_{name}" for name in ours})
    table["true_class"] = pd.Series(names[recording.targets], dtype=object).where(known, None)
    table["prediction"] = names[recording.predicted]
    table["probability"] = recording.probabilities.max(1)
    table["correct"] = pd.Series(recording.predicted == recording.targets, dtype="boolean").where(known, None)
    return table


def open_run(
    out: Path | str | None, classifier: Classifier, images: ImageSet, seed: int, **more: str
) -> RunFolder | None:
    """The folder of a run with this seed, None without `out`. Raises RunFolderError as RunFolder does.

    `more` is what else the run is about, where it is not an audit.
    """
    if out is None:
        return None
    identity = {"model": classifier.fingerprint(), "images": images.fingerprint(), "seed": str(seed)}
    return RunFolder(out, identity | more)


def _model_facts(classifier: Classifier) -> ModelFacts:
    height, width = classifier.size
    return ModelFacts(
        name=classifier.name,
        source=classifier.source,
        fingerprint=classifier.fingerprint(),
        classes=classifier.classes,
        parameters=sum(p.numel() for p in classifier.parameters()),
        input=f"{classifier.channels} x {height} x {width}",
        preprocessing=classifier.describe_preprocessing(),
        learning_curves=learning_curves(classifier.source),
    )


def _image_facts(images: ImageSet, recording: Recording) -> ImageFacts:
    return ImageFacts(
        name=readable(images.name),
        fingerprint=images.fingerprint(),
        count=len(images),
        labelled=len(recording.labelled),
        classes=len(set(recording.targets[recording.labelled].tolist())),
        unreadable=recording.unreadable,
        unmatched_labels=recording.labels.unmatched,
        credits=images.credits,
        notes=tuple(note for note in _notes(images, recording) if note),
    )


def _notes(images: ImageSet, recording: Recording) -> tuple[str, ...]:
    """What a reader should know about how the images were loaded and the outputs and labels read; '' is nothing."""
    return (
        *recording.subject.classifier.notes,
        recording.subject.classifier.outputs_note,
        *images.notes,
        recording.conversions,
        recording.labels.note,
        recording.labels.doubt,
        recording.labels.undecided,
        _about_masks(recording),
        _about_pixels(recording),
    )


def _about_masks(recording: Recording) -> str:
    """One sentence on the masks that cannot be used, '' when there are none."""
    if not recording.unusable_masks:
        return ""
    first = recording.unusable_masks[0]
    count = len(recording.unusable_masks)
    many = "1 mask cannot be used" if count == 1 else f"{count} masks cannot be used"
    return f"{many} ({'' if count == 1 else 'the first, '}{first.path}: {first.reason})."


def _about_pixels(recording: Recording) -> str:
    """One sentence on the images that are over the bound of what is kept decoded, '' when there are none."""
    kept = recording.subject.kept
    if not kept or not kept.over:
        return ""
    return (
        f"{kept.over} of {len(kept.rows)} images did not fit into the space for decoded images and were decoded "
        "whenever they were needed; give more with --keep-pixels."
    )


def _environment(classifier: Classifier) -> dict[str, str]:
    device = classifier.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    versions = {package: metadata.version(package) for package in ("deeptroubles", "torch", "numpy", "scipy")}
    return {**versions, "python": platform.python_version(), "system": platform.platform(), "device": name}
