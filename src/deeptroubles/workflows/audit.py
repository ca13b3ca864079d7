"""An audit, top to bottom: plan, record once, run every check, keep what was found."""

from __future__ import annotations

import logging
import platform
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from deeptroubles.checks.options import read_options
from deeptroubles.checks.registry import Check, Result, chosen_checks
from deeptroubles.classifier import Classifier, expect_classifier
from deeptroubles.engine import Engine, LocalEngine, MakeEngine
from deeptroubles.errors import RunFolderError
from deeptroubles.findings import Audit, Finding, Guide, ImageFacts, ModelFacts, Verdict, worst_first
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import readable
from deeptroubles.progress import current_sink
from deeptroubles.recording import Recording, record
from deeptroubles.run.folder import RunFolder

_log = logging.getLogger(__name__)


def audit(
    classifier: Classifier,
    images: ImageSet,
    out: Path | str | None = None,
    *,
    checks: str | Sequence[str] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    engine: MakeEngine = LocalEngine,
    command: str = "",
    **options: Any,
) -> Audit:
    """Run checks on a classifier and its images.

    Args:
        classifier: What is audited.
        images: What it is audited on.
        out: Folder for the run. An interrupted run in the same folder is resumed. Default: nothing is kept.
        checks: Names or families of checks, or one of them. Default: all but those that run on request only.
        seed: Seed of everything random; the same seed gives the same findings.
        batch_size: How many images are processed at once.
        engine: Makes what does the work. Default: this process does.
        command: What to say in the report about how it was made.
        **options: What some checks need from you, such as `cue`, `concept`, `group` and `conflict`: a text or several;
            `deeptroubles help CHECK` says more. Options of checks that do not run are not looked at.

    Returns:
        The audit, its findings worst first. With `out`, the folder holds it as `audit.json` with tables and pictures.

    Raises:
        ImagesError: No image could be read, or images given in an option cannot be used.
        ModelError: The classifier's output is NaN or infinite.
        RunFolderError: The folder holds another run, or cannot be written.
        UsageError: There is no such check or option, or an option's value cannot be used.
    """
    planned = chosen_checks(checks)
    return run_checks(
        planned, classifier, images, out, options, seed=seed, batch_size=batch_size, engine=engine, command=command
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
    **identity: str,
) -> Checked:
    """Read the options of the planned checks, record once, run each check, and keep what was found after each.

    Arguments and errors are those of `audit`; `identity` is what else the run is about.
    """
    expect_classifier(classifier)
    started = time.monotonic()
    read = read_options(options, [option for check in planned for option in check.takes], classifier, images)
    folder = open_run(out, classifier, images, seed, **identity)
    worker = engine(folder, batch_size)
    recording = record(classifier, images, worker, read)
    if folder:
        folder.write_table("images", image_table(recording))
    result = _begun(
        classifier, images, recording, {check.name: check.guide for check in planned}, command=command, seed=seed
    )
    results = {}
    for check in planned:
        current_sink().stage(check.name, check.guide.question)
        found, measured = ask(check, recording, worker, seed)
        if measured is not None:
            results[check.name] = measured
        findings = worst_first([*result.findings, *found])
        result = replace(result, findings=findings, seconds=round(time.monotonic() - started, 1))
        if folder:
            folder.write_audit(result)
    result = replace(result, status="complete")
    if folder:
        folder.write_audit(result)
    return Checked(result, results, folder)


def _begun(
    classifier: Classifier, images: ImageSet, recording: Recording, guides: dict[str, Guide], *, command: str, seed: int
) -> Audit:
    """An audit that begins: what it is about, and how to read what it will find."""
    return Audit(
        status="running",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0,
        command=readable(command),
        seed=seed,
        environment=_environment(classifier),
        model=_model_facts(recording.subject.classifier),
        images=_image_facts(images, recording),
        findings=[],
        guides=guides,
    )


def ask(check: Check, recording: Recording, engine: Engine, seed: int) -> tuple[list[Finding], Result | None]:
    """Run one check: its findings, and what it measured.

    A check without what it needs is skipped, one that crashes becomes an error; the audit continues.
    """
    missing = check.missing(recording)
    if missing:
        claim = f"Skipped: {missing}."
        return [Finding(check=check.name, verdict=Verdict.SKIPPED, claim=claim, criterion="")], None
    random_state = torch.get_rng_state()
    try:
        result = check.function(recording, engine, seed=seed)
        return list(result.findings()), result
    except RunFolderError:
        raise  # nothing can be kept any more: the run stops here, and is resumed from here
    except Exception as error:  # noqa: BLE001 (whatever a check does, the audit continues)
        _log.debug("check %s crashed", check.name, exc_info=True)
        where = traceback.extract_tb(error.__traceback__)[-1]
        claim = (
            f"The check crashed: {type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})."
        )
        caveat = "Other findings are not affected. If your model did not raise this error, please report it."
        return [Finding(check=check.name, verdict=Verdict.ERROR, claim=claim, criterion="", caveats=[caveat])], None
    finally:
        torch.set_rng_state(random_state)


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

    `more` is what else the run is about, where it is no audit.
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
        _about_masks(recording),
    )


def _about_masks(recording: Recording) -> str:
    """One sentence on the masks that cannot be used, '' when there are none."""
    if not recording.unusable_masks:
        return ""
    first = recording.unusable_masks[0]
    count = len(recording.unusable_masks)
    many = "1 mask cannot be used" if count == 1 else f"{count} masks cannot be used"
    return f"{many} ({'' if count == 1 else 'the first, '}{first.path}: {first.reason})."


def _environment(classifier: Classifier) -> dict[str, str]:
    device = classifier.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    versions = {package: metadata.version(package) for package in ("deeptroubles", "torch", "numpy", "scipy")}
    return {**versions, "python": platform.python_version(), "system": platform.platform(), "device": name}
