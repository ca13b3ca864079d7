"""The accuracy of `reliance.shortcut` on networks with planted cues, clean networks and decoys.

Run `python benchmarks/planted.py`. It trains about 250 small networks (once; they are kept in `runs/planted`), runs
`reliance.shortcut` and detectors from the literature on each, and prints tables. `--mini` trains a dozen. With `--part
I --parts N` it processes every N-th network and prints nothing, so that N processes can share the work. Training uses a
GPU if there is one.

Ground truth is verified reliance (accuracy with an aligned cue minus accuracy with a random cue), not planting: a
network that was trained with a cue and does not rely on it is neither positive nor negative. The check was developed on
other networks: its thresholds and naming rules were set with seeds from 100 on and the cues tag, patch, frame,
background, inner texture, signature and position. Stamp, companion and cast were held out.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import detectors

from deeptroubles.checks.reliance.shortcut.shortcut import shortcut
from deeptroubles.engine import LocalEngine
from deeptroubles.memory import keep_freed_memory
from deeptroubles.methods.attribution.integrated_gradients import integrated_gradients
from deeptroubles.methods.reliance.shortcut_effects import located
from deeptroubles.methods.transforms.shared.scenery import GRID, frame
from deeptroubles.planted.cues import CLASSES, CUES, DECOYS, paint
from deeptroubles.planted.networks import ARCHITECTURES
from deeptroubles.planted.planting import Planted, plant
from deeptroubles.planted.scenes import draw_parts, render
from deeptroubles.progress import track
from deeptroubles.recording import record
from deeptroubles.run.files import write_whole
from deeptroubles.statistics.auroc import auroc
from deeptroubles.subject import logits_of

STRENGTHS = (0.3, 0.6, 0.8, 0.95)
STRONG = 0.6
"""From this strength on, a network that relies on its cue should be detected."""
SEEDS = 5
CLEAN = 30
HELD_OUT = ("stamp", "companion", "cast")
"""Cues that were held out until the check was finished."""
RELIES, DOES_NOT = 0.1, 0.03
"""The least verified reliance of a positive, and the largest of a negative."""
CUE_UNKNOWN = {
    "SpRAy eigengap": "",
    "SpRAy Fisher": "",
    "attribution outside the mask": "masks",
    "Datalab's correlation, baseline corrected": "the data only",
}
CUE_KNOWN = ("insertion of the known cue", "TCAV")
"""Detectors from the literature that need no cue, and those that need to know the cue."""
FOLDER = Path(__file__).parents[1] / "runs" / "planted"


@dataclass(frozen=True)
class Job:
    """A network to train."""

    cue: str | None
    strength: float
    architecture: str
    seed: int

    @property
    def file(self) -> str:
        """The name of its files."""
        return f"{self.cue or 'clean'} {self.strength:g} {self.architecture} {self.seed}"


def jobs(*, mini: bool) -> list[Job]:
    """All networks, with alternating architectures."""
    kinds = list(ARCHITECTURES)
    cues, strengths, seeds, clean = (list(CUES), STRENGTHS, SEEDS, CLEAN)
    if mini:
        cues, strengths, seeds, clean = ["tag", "frame", "stamp"], (0.8, 0.95), 1, 6
    planted = [
        Job(cue, strength, kinds[(seed + index) % 2], 1 + seed)
        for cue in cues
        for index, strength in enumerate(strengths)
        for seed in range(seeds)
    ]
    decoys = [Job(cue, 0.0, kinds[i % 2], 20 + i) for i, cue in enumerate(cues)]
    decoys += [Job(cue, 1.0, kinds[i % 2], 20 + i) for cue in DECOYS for i in range(0 if mini else 4)]
    return [*planted, *decoys, *(Job(None, 0.0, kinds[i % 2], 40 + i) for i in range(clean))]


def trained(job: Job) -> Planted:
    """Train a network, or read it from disk."""
    weights, facts = FOLDER / f"{job.file}.pt", FOLDER / f"{job.file}.json"
    if facts.exists():
        return plant(
            job.cue,
            job.strength,
            job.architecture,
            job.seed,
            known=(torch.load(weights, weights_only=True), json.loads(facts.read_text())),
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    started = time.perf_counter()
    planted = plant(job.cue, job.strength, job.architecture, job.seed, device=device)
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(planted.classifier.module.state_dict(), weights)
    known = {"aligned": planted.aligned, "randomized": planted.randomized, "seconds": time.perf_counter() - started}
    write_whole(facts, json.dumps(known).encode())
    return planted


def detect(planted: Planted, *, masks: bool) -> dict[str, Any]:
    """The result of `reliance.shortcut` for a network."""
    images = planted.images if masks else replace(planted.images, fetch_mask=None)
    engine = LocalEngine(batch_size=128)
    started = time.perf_counter()
    found = shortcut(record(planted.classifier, images, engine), engine, seed=0)
    verdict = next(iter(found.findings())).verdict
    seconds = time.perf_counter() - started
    measured = found.channels.measured
    if measured is None:
        return {"score": -1.0, "effect": 0.0, "verdict": verdict, "name": "", "iou": 0.0, "seconds": seconds}
    classes, cues = measured.effects.effect[:, :-1].shape
    low = max(measured.interval(row, column).low for row in range(classes) for column in range(cues))
    effect = measured.interval(*measured.worst).value
    return {
        "score": low,
        "effect": effect,
        "verdict": verdict,
        "name": measured.name,
        "seconds": seconds,
        "iou": overlap(planted, measured.name, measured.windows),
    }


def overlap(planted: Planted, name: str, windows: NDArray[np.float64]) -> float:
    """Intersection over union of the cue and the place that was named; 0 if none was named."""
    place = CUES[planted.cue].place if planted.cue in CUES else None
    if place is None:
        return float("nan")
    size = planted.classifier.size
    true, box = place(size[0]), located(windows)
    found = torch.zeros(size, dtype=torch.bool)
    if name == "frame":
        found = frame(size)
    elif name == "window" and box:
        top, left, bottom, right = (round(edge * size[0] / GRID) for edge in box)
        found[top:bottom, left:right] = True
    return float((true & found).sum() / (true | found).sum())


def baselines(planted: Planted) -> dict[str, float]:
    """The scores of other detectors; higher means more suspicious."""
    engine = LocalEngine(batch_size=128)
    subject = record(planted.classifier, planted.images, engine).subject
    rows = list(range(len(subject.targets)))
    pixels, targets, masks = subject.pixels(rows), torch.from_numpy(subject.targets), subject.masks(rows)
    few = rows[:120]
    maps = integrated_gradients(planted.classifier, pixels[few], targets[few], steps=16).abs()
    outside = 1 - (maps * masks[few]).sum((1, 2)) / maps.sum((1, 2))
    scores = {
        "SpRAy eigengap": detectors.eigengap(planted.classifier, pixels, targets),
        "SpRAy Fisher": detectors.fisher_tau(planted.classifier, pixels, targets),
        "attribution outside the mask": float(outside.mean()),
        "Datalab's correlation, baseline corrected": detectors.datalab(pixels, targets),
    }
    for cue in CUES if planted.cue is None or planted.strength == 0 else [planted.cue]:
        scores |= {f"{name}: {cue}": value for name, value in known_cue(planted, cue, pixels, targets).items()}
    return scores


def known_cue(planted: Planted, name: str, pixels: Tensor, targets: Tensor) -> dict[str, float]:
    """The two detectors that know the cue: insertion, and TCAV with images that show it."""
    cue = CUES[name] if name in CUES else DECOYS[name]
    count, seed = 120, 7_000_000
    classes = torch.arange(count) % CLASSES
    shown = []
    for value in range(CLASSES):  # the same scenes with every value of the cue
        values = torch.full((count,), value)
        scenes = draw_parts(classes, planted.classifier.size[0], seed)
        images, masks = render(cue.arrange(scenes, values) if cue.arrange else scenes)
        shown.append(paint(cue, images, masks, values, seed))
    probability = torch.stack([logits_of(planted.classifier, images, 120).softmax(1) for images in shown])
    usual = probability[classes, torch.arange(count)]  # with the value of the image's own class
    rises = [float((probability[v] - usual)[classes != v, v].mean()) for v in range(CLASSES)]
    concepts = [detectors.tcav(planted.classifier, pixels, targets, images) for images in shown]
    return {"insertion of the known cue": max(rises), "TCAV": max(concepts)}


def measured(job: Job, *, compare: bool) -> dict[str, Any]:
    """All facts about a network; kept on disk, so that an interrupted run can be resumed."""
    planted = trained(job)
    kept = FOLDER / f"{job.file}.scores.json"
    scores: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    if "masks" not in scores:
        scores["masks"], scores["no masks"] = detect(planted, masks=True), detect(planted, masks=False)
        write_whole(kept, json.dumps(scores).encode())
    if compare and "baselines" not in scores:
        scores["baselines"] = baselines(planted)
        write_whole(kept, json.dumps(scores).encode())
    known = json.loads((FOLDER / f"{job.file}.json").read_text())
    return {
        **asdict(job),
        "reliance": planted.reliance,
        "accuracy": planted.aligned,
        "trained": known["seconds"],
        **scores,
    }


Rows = list[dict[str, Any]]


def auc(positives: list[float], negatives: list[float]) -> float:
    """The share of pairs in which the positive has the higher score."""
    values = np.array([*positives, *negatives])[:, None]
    present = np.array([True] * len(positives) + [False] * len(negatives))[:, None]
    return float(auroc(values, present).value[0, 0])


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Networks that rely on their cue (of sufficient strength), and networks that rely on none."""
    positives = [r for r in rows if r["cue"] in CUES and r["strength"] >= STRONG and r["reliance"] >= RELIES]
    negatives = [r for r in rows if r["cue"] is None or (r["strength"] == 0 and r["reliance"] <= DOES_NOT)]
    return positives, negatives


def report(rows: Rows) -> None:
    """Print the tables of benchmarks/README.md."""
    positives, negatives = split(rows)
    weak = sum(r["cue"] in CUES and r["strength"] >= STRONG and r["reliance"] < RELIES for r in rows)
    print(f"{platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}")
    print(
        f"{len(rows)} networks: {len(positives)} rely on their cue, {len(negatives)} on none; {weak} rely on "
        f"their cue by less than {RELIES:.0%} and count as neither\n"
    )
    for kind in ("masks", "no masks"):
        of_kind(rows, positives, negatives, kind)
    legitimate(rows)
    if all("baselines" in r for r in rows):
        others(rows, positives, negatives)


def of_kind(rows: Rows, positives: Rows, negatives: Rows, kind: str) -> None:
    """One table: all families, the calibrated and the held-out ones, then each."""
    scores = [r[kind]["score"] for r in negatives]
    limit = float(np.quantile(scores, 0.95, method="higher"))
    print(f"### With {kind}\n")
    line("family", "networks", "AUC", "found at 5% false positives", "fail or warn", "named correctly", "IoU", "dose")
    line("---", *["---:"] * 7)
    groups = [("all", list(CUES)), ("calibrated", [c for c in CUES if c not in HELD_OUT]), ("held out", list(HELD_OUT))]
    for label, cues in [*groups, *((f"{cue}{' (held out)' if cue in HELD_OUT else ''}", [cue]) for cue in CUES)]:
        of_family = [r for r in positives if r["cue"] in cues]
        if not of_family:
            line(label, 0, *[""] * 6)
            continue
        found = np.mean([r[kind]["score"] > limit for r in of_family])
        verdicts = np.mean([r[kind]["verdict"] in {"fail", "warn"} for r in of_family])
        named = np.mean([r[kind]["name"] == CUES[r["cue"]].channel for r in of_family])
        places = [r[kind]["iou"] for r in of_family if not np.isnan(r[kind]["iou"])]
        dose = [r for r in rows if r["cue"] in cues]
        rank = stats.spearmanr([r["reliance"] for r in dose], [r[kind]["effect"] for r in dose]).statistic
        area = auc([r[kind]["score"] for r in of_family], scores)
        iou = f"{np.mean(places):.2f}" if places else ""
        line(
            label, len(of_family), f"{area:.3f}", f"{found:.0%}", f"{verdicts:.0%}", f"{named:.0%}", iou, f"{rank:.2f}"
        )
    counts = {v: sum(r[kind]["verdict"] == v for r in negatives) for v in ("fail", "warn", "inconclusive", "pass")}
    seconds = [r[kind]["seconds"] for r in rows]
    print(f"\nVerdicts for the {len(negatives)} that rely on no cue: {counts}.")
    print(f"Seconds per network: median {np.median(seconds):.1f}, largest {max(seconds):.1f}.\n")


def line(*cells: object) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |")


def legitimate(rows: Rows) -> None:
    """Print the verdicts for networks whose classes differ in the color or texture of the object."""
    for decoy in DECOYS:
        verdicts = [(r["masks"]["verdict"], r["masks"]["name"]) for r in rows if r["cue"] == decoy]
        print(f"Classes that differ in {decoy}: {verdicts}\n")


def others(rows: Rows, positives: Rows, negatives: Rows) -> None:
    """Print the AUC of all detectors."""
    line("detector", "needs", "AUC")
    line("---", "---", "---:")
    for kind in ("masks", "no masks"):
        ours = [[r[kind]["score"] for r in group] for group in (positives, negatives)]
        line("reliance.shortcut", kind, f"{auc(*ours):.3f}")
    for name, needs in CUE_UNKNOWN.items():
        theirs = [[r["baselines"][name] for r in group] for group in (positives, negatives)]
        line(name, needs, f"{auc(*theirs):.3f}")
    for name in CUE_KNOWN:  # clean networks are tested for the same cue
        areas = [
            auc(
                [r["baselines"][f"{name}: {cue}"] for r in positives if r["cue"] == cue],
                [r["baselines"][f"{name}: {cue}"] for r in negatives if r["cue"] is None],
            )
            for cue in CUES
            if any(r["cue"] == cue for r in positives)
        ]
        line(f"{name} (mean over cues)", "the cue", f"{np.mean(areas):.3f}")
    seconds = [r["trained"] for r in rows]
    print(f"\nTraining: median {np.median(seconds):.1f} s per network.")


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mini", action="store_true", help="a dozen networks")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--no-others", action="store_true", help="skip the other detectors")
    chosen = parser.parse_args()
    keep_freed_memory()
    if chosen.parts > 1:
        torch.set_num_threads(1)
    planned = jobs(mini=chosen.mini)[chosen.part :: chosen.parts]
    rows = [measured(job, compare=not chosen.no_others) for job in track(planned, "Training and measuring")]
    if chosen.parts == 1:
        report(rows)


if __name__ == "__main__":
    main()
