"""An audit, top to bottom: plan, record once, ask every check, keep what was found."""

from __future__ import annotations

import logging
import platform
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from deeptroubles.checks import Check, chosen_checks
from deeptroubles.classifier import Classifier
from deeptroubles.engine import Engine, LocalEngine
from deeptroubles.errors import RunFolderError
from deeptroubles.findings import Audit, Finding, Guide, ImageFacts, ModelFacts, Verdict, worst_first
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import readable
from deeptroubles.methods.fairness.groupings import fit_groups
from deeptroubles.methods.reliance.cue_conflict import find_trials
from deeptroubles.methods.transforms.shared.named_cue import fit_cues
from deeptroubles.recording import Given, Recording, record
from deeptroubles.run.folder import RunFolder

_log = logging.getLogger(__name__)


def audit(
    classifier: Classifier,
    images: ImageSet,
    out: Path | str | None = None,
    *,
    checks: Sequence[str] | None = None,
    seed: int = 0,
    batch_size: int = 32,
    given: Given | None = None,
    command: str = "",
    watch: Callable[[Check], None] | None = None,
) -> Audit:
    """Ask every check of a classifier and its images.

    Args:
        classifier: What is audited.
        images: What it is audited on.
        out: Folder for the run. An interrupted run in the same folder is gone on with. Default: nothing is kept.
        checks: Names or families of checks. Default: all.
        seed: Seed of everything random; the same seed gives the same findings.
        batch_size: How many images are shown at once.
        given: What some checks ask about beside the model and the images: cues, concepts, groups, stimuli.
        command: What to say in the report about how it was made.
        watch: Called with each check before it is asked.

    Returns:
        The audit, its findings worst first. With `out`, the folder holds it as `audit.json` with tables and pictures.

    Raises:
        ImagesError: No image could be read, a concept has no images, or stimuli are not named as they should be.
        ModelError: The classifier answers NaN or infinity.
        RunFolderError: The folder holds another run, or cannot be written.
        UsageError: A check does not exist, a cue cannot be used, there is no such column to group by, or two concepts
            have the same name.
    """
    started, created = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    planned, given = chosen_checks(checks), given or Given()
    fit_cues(given.cues, images)  # what cannot be used is said before any work is done
    given.concept_images()
    fit_groups(given.groups, images)
    if conflict := given.conflict_images():
        find_trials(classifier, conflict)
    folder = open_run(out, classifier, images, seed)
    engine = LocalEngine(folder, batch_size)
    recording = record(classifier, images, engine, given)
    if folder:
        folder.write_table("images", image_table(recording))
    result = without_findings(
        classifier,
        images,
        recording,
        {check.name: check.guide for check in planned},
        created=created,
        command=command,
        seed=seed,
    )
    for check in planned:
        if watch:
            watch(check)
        findings = worst_first([*result.findings, *ask(check, recording, engine, seed)])
        result = replace(result, findings=findings, seconds=round(time.monotonic() - started, 1))
        if folder:
            folder.write_audit(result)
    result = replace(result, status="complete")
    if folder:
        folder.write_audit(result)
    return result


def without_findings(
    classifier: Classifier,
    images: ImageSet,
    recording: Recording,
    guides: dict[str, Guide],
    *,
    created: str,
    command: str,
    seed: int,
) -> Audit:
    """An audit that is about to begin: what it is about, and how to read what it will find."""
    return Audit(
        status="running",
        created=created,
        seconds=0,
        command=readable(command),
        seed=seed,
        environment=_environment(classifier),
        model=_model_facts(classifier),
        images=_image_facts(images, recording),
        findings=[],
        guides=guides,
    )


def ask(check: Check, recording: Recording, engine: Engine, seed: int) -> list[Finding]:
    """Ask one check. A check that cannot be asked is skipped, one that crashes becomes an error; the audit goes on."""
    missing = check.missing(recording)
    if missing:
        claim = f"Not asked: it needs {missing}, and there are none."
        return [Finding(check=check.name, verdict=Verdict.SKIPPED, claim=claim, criterion="")]
    random_state = torch.get_rng_state()
    try:
        return list(check.function(recording, engine, seed=seed).findings())
    except RunFolderError:
        raise  # nothing can be kept any more: the run stops here, and goes on from here
    except Exception as error:  # noqa: BLE001 (whatever a check does, the audit goes on)
        _log.debug("check %s crashed", check.name, exc_info=True)
        where = traceback.extract_tb(error.__traceback__)[-1]
        claim = (
            f"The check crashed: {type(error).__name__}: {error} ({Path(where.filename).name}, line {where.lineno})."
        )
        caveat = "The other findings are not affected. If this is not your model's own error, please report it."
        return [Finding(check=check.name, verdict=Verdict.ERROR, claim=claim, criterion="", caveats=[caveat])]
    finally:
        torch.set_rng_state(random_state)


def image_table(recording: Recording) -> pd.DataFrame:
    """One row per readable image: its own columns, the true class, the answer, its probability, whether it is right.

    A column of the manifest with one of our names gets `given_` in front.
    """
    names = np.array(recording.subject.classifier.class_names)
    known = recording.targets >= 0
    ours = ("true_class", "answer", "probability", "correct")
    given = recording.subject.images.table.reset_index(drop=True)
    table = given.rename(columns={name: f"given_{name}" for name in ours})
    table["true_class"] = pd.Series(names[recording.targets], dtype=object).where(known, None)
    table["answer"] = names[recording.predicted]
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
        notes=tuple(note for note in (*images.notes, recording.labels.note, _about_masks(recording)) if note),
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
