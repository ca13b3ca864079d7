"""The accuracy of `reliance.shortcut` on photographs: networks with known shortcuts, and networks without.

    python benchmarks/photos.py PHOTOGRAPHS [--large] [--held-out] [--no-others] [--part K --parts N]

PHOTOGRAPHS is a folder with `train` and `test`, each with class folders of CIFAR-10, and the published weights (see
photo_networks.py); with `--large`, a folder of ImageNet photographs (see photo_heads.py). It trains the networks that
are not on disk yet (a minute each), audits each on 350 labelled images, untold and without masks, and prints tables.
Those that are held out were not looked at before the method and its thresholds stood.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks import detectors, photo_heads, photo_networks
from benchmarks.photo_networks import FOLDER, Job, Network
from benchmarks.planted import auc, line
from torch import Tensor

from deeptroubles.checks.reliance.shortcut.search import Tested
from deeptroubles.checks.reliance.shortcut.shortcut import shortcut
from deeptroubles.engine import LocalEngine
from deeptroubles.memory import keep_freed_memory
from deeptroubles.planted.photo_cues import PHOTO_CUES, VARIANTS
from deeptroubles.progress import track
from deeptroubles.recording import record
from deeptroubles.run.files import write_whole
from deeptroubles.subject import logits_of

RELIES = 0.15
"""A network relies on its cue if it raises the probability of one class by this much on unseen images."""
NAMES = {
    "cast": {f"a {color} cast" for color in ("red", "green", "blue", "cyan", "magenta", "yellow")},
    "quality": {"JPEG compression"},
    "blur": {"blur", "a lower resolution"},
    "resolution": {"blur", "a lower resolution"},
    "sharpening": {"sharpening"},
    "vignette": {"dark corners"},
    "noise": {"noise"},
}
"""The treatments that name each property."""
HIT = 0.25
"""The place is right from this intersection over union."""

Rows = list[dict[str, Any]]


def place(cue: str, variant: int, size: int) -> Tensor:
    """The pixels that a variant of an overlay changes on black and on white, H x W."""
    plain = torch.stack([torch.zeros(3, size, size), torch.ones(3, size, size)])
    painted = PHOTO_CUES[cue].paint(plain, variant, torch.Generator().manual_seed(0))
    return (painted - plain).abs().amax((0, 1)) > 0.02


def named(job: Job, tested: Tested) -> tuple[bool, float]:
    """Whether a candidate is the planted cue, of the right kind at the right place; and its overlap."""
    candidate = tested.candidate
    if job.cue in NAMES:
        return candidate.name in NAMES[job.cue], float("nan")
    if not candidate.is_patch or not job.cue:
        return False, float("nan")
    if PHOTO_CUES[job.cue].place is None and job.cue != "date":
        return True, float("nan")
    found = torch.from_numpy(candidate.masks[0])
    true = place(job.cue, candidate.target, found.shape[-1])
    overlap = float((found & true).sum() / (found | true).sum())
    return overlap >= HIT, overlap


def network(job: Job, folder: Path) -> Network:
    """Train a network, or read it from disk."""
    room = photo_heads if job.classes == photo_heads.CLASSES else photo_networks
    return room.network(job, folder)


def facts(job: Job, folder: Path) -> dict[str, Any]:
    """What is true about a network, kept on disk."""
    kept = FOLDER / f"{job.name}.json"
    if kept.exists():
        return {**asdict(job), **json.loads(kept.read_text())}
    started = time.perf_counter()
    made = network(job, folder)
    found = {**asdict(job), "reliance": made.reliance, "accuracy": made.accuracy}
    found["seconds"] = time.perf_counter() - started
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_whole(kept, json.dumps(found).encode())
    return found


def audited(job: Job, folder: Path) -> dict[str, Any]:
    """What the check says about a network, beside what is true; kept on disk."""
    kept = FOLDER / f"{job.name}.shortcut.json"
    true = facts(job, folder)
    if kept.exists():
        return {**true, **json.loads(kept.read_text())}
    subject = network(job, folder)
    engine, started = LocalEngine(batch_size=128), time.perf_counter()
    found = shortcut(record(subject.classifier, subject.images, engine), engine, seed=0)
    finding, *others = found.findings()
    seconds = time.perf_counter() - started
    search = found.searched
    assert search is not None  # there are 35 images of each class  # noqa: S101
    said: dict[str, Any] = {"verdict": finding.verdict, "claim": finding.claim, "findings": 1 + len(others)}
    count = max(1, len(search.tested))
    said["score"] = max((t.effect(count).low for t in search.tested), default=-1.0)
    relied = [k for k, value in enumerate(true["reliance"] or [0.0]) if value >= RELIES]
    if search.shortcuts:
        first = search.shortcuts[0][0]
        right, overlap = named(job, first)
        said |= {"class": first.candidate.target in relied, "named": right, "overlap": overlap}
    said["seconds"] = seconds
    write_whole(kept, json.dumps(said).encode())
    return {**true, **said}


def compared(job: Job, folder: Path) -> dict[str, float]:
    """The scores of other detectors; higher means more suspicious."""
    kept = FOLDER / f"{job.name}.others.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    made = network(job, folder)
    pixels = torch.stack([made.classifier.prepare(made.images[i]) for i in range(len(made.images))])
    targets = torch.tensor([job.classes.index(label) for label in made.images.labels])
    scores = {
        "SpRAy eigengap": detectors.eigengap(made.classifier, pixels, targets),
        "SpRAy Fisher": detectors.fisher_tau(made.classifier, pixels, targets),
        "class-wise neural PCA": detectors.neural_pca(made.classifier, pixels, targets),
        "Datalab's correlation, baseline corrected": detectors.datalab(pixels, targets),
        "insertion of the known cue": told(job, made, pixels, targets),
    }
    write_whole(kept, json.dumps(scores).encode())
    return scores


def told(job: Job, made: Network, pixels: Tensor, targets: Tensor) -> float:
    """The largest rise of a class when told the cue and which variant of it; the largest of all cues if clean."""
    before, rises = logits_of(made.classifier, pixels, 128).softmax(1), []
    for cue in [job.cue] if job.cue else list(PHOTO_CUES):
        for variant in range(VARIANTS):
            shown = PHOTO_CUES[cue].paint(pixels, variant, torch.Generator().manual_seed(0))
            after = logits_of(made.classifier, shown, 128).softmax(1)
            others = targets != variant
            rises.append(float((after - before)[others, variant].mean()))
    return max(rises)


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Networks that rely on their cue in some class, and networks that rely on none."""
    positives = [r for r in rows if max(r["reliance"] or [0.0]) >= RELIES]
    negatives = [r for r in rows if r["mode"] in {"published", "clean", "none"}]
    return positives, negatives


def report(rows: Rows) -> None:
    """Print the tables of benchmarks/README.md."""
    print(f"{platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    for title, part in (
        ("Looked at", [r for r in rows if not r["held_out"]]),
        ("Held out", [r for r in rows if r["held_out"]]),
    ):
        if part:
            table(title, part)


def table(title: str, rows: Rows) -> None:
    """One half of the networks."""
    positives, negatives = split(rows)
    scores = [r["score"] for r in negatives]
    print(f"### {title}: {len(positives)} networks rely on their cue, {len(negatives)} on none\n")
    line("cue", "networks", "AUC", "fail or warn", "class right", "named right", "overlap", "inconclusive")
    line("---", *["---:"] * 7)
    for cue in ["all", *PHOTO_CUES]:
        of_cue = [r for r in positives if cue in {"all", r["cue"]}]
        if not of_cue:
            continue
        alarms = [r for r in of_cue if r["verdict"] in {"fail", "warn"}]
        overlaps = [r["overlap"] for r in alarms if not np.isnan(r.get("overlap", np.nan))]
        line(
            cue,
            len(of_cue),
            f"{auc([r['score'] for r in of_cue], scores):.2f}" if scores else "",
            f"{len(alarms) / len(of_cue):.0%}",
            *(f"{np.mean([r[key] for r in alarms]):.0%}" if alarms else "" for key in ("class", "named")),
            f"{np.mean(overlaps):.2f}" if overlaps else "",
            f"{np.mean([r['verdict'] == 'inconclusive' for r in of_cue]):.0%}",
        )
    for mode in ("published", "clean", "none"):
        counts = {
            v: sum(r["verdict"] == v and r["mode"] == mode for r in negatives)
            for v in ("fail", "warn", "inconclusive", "pass")
        }
        print(f"\n{mode}: {counts}")
    seconds = [r["seconds"] for r in rows]
    print(f"\nSeconds per network: median {np.median(seconds):.0f}, largest {max(seconds):.0f}.\n")
    if all("others" in r for r in rows):
        line("detector", "AUC")
        line("---", "---:")
        line("reliance.shortcut", f"{auc([r['score'] for r in positives], scores):.2f}")
        for name in rows[0]["others"]:
            parts = [[r["others"][name] for r in group] for group in (positives, negatives)]
            line(name, f"{auc(*parts):.2f}")
        print()


def main() -> None:
    """Train, audit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--large", action="store_true", help="networks of 224 pixels")
    parser.add_argument("--held-out", action="store_true", help="the other half of the networks too")
    parser.add_argument("--no-others", action="store_true", help="skip the other detectors")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    chosen = parser.parse_args()
    keep_freed_memory()
    room = photo_heads if chosen.large else photo_networks
    planned = [job for job in room.jobs() if chosen.held_out or not job.held_out]
    planned = sorted(planned, key=lambda job: not job.held_out)[chosen.part :: chosen.parts]
    rows: Rows = []
    for job in track(planned, "Training and auditing"):
        row = audited(job, chosen.photographs)
        if not chosen.no_others:
            row["others"] = compared(job, chosen.photographs)
        rows.append(row)
    if chosen.parts == 1:
        report(rows)


if __name__ == "__main__":
    main()
