"""Does the finder of shortcuts find them? Networks with a planted trouble, clean ones, and decoys, scored.

Run `python benchmarks/planted.py`; it trains some 250 small networks (once; they are kept in `runs/planted`), asks
`reliance.shortcut` and the detectors that others use about each, and prints tables. `--mini` trains a dozen. With
`--part I --parts N` it does every N-th network only and prints nothing, so that N processes can share the work. A GPU
is used for training where there is one.

Truth is verified reliance (accuracy where the cue is aligned minus where it is randomised), not planting: a network
that was shown a cue and does not rely on it is neither positive nor negative. Nothing of the check was set on the
networks scored here: thresholds and the rules of names were set on other networks (seeds from 100 on) with the cues
tag, patch, frame, background, inner texture, signature and position. Stamp, companion and cast were never looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from deeptroubles.files import write_whole
from deeptroubles.planted.cues import CUES, DECOYS
from deeptroubles.planted.networks import ARCHITECTURES
from deeptroubles.planted.planting import Planted, plant

STRENGTHS = (0.3, 0.6, 0.8, 0.95)
SEEDS = 5
CLEAN = 30
HELD_OUT = ("stamp", "companion", "cast")
"""Cues of which no network was looked at before the check was finished."""
RELIES, DOES_NOT = 0.1, 0.03
"""A network is a positive from so much verified reliance on, and a negative up to so much."""
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
        """Under which name it is kept."""
        return f"{self.cue or 'clean'} {self.strength:g} {self.architecture} {self.seed}"


def jobs(*, mini: bool) -> list[Job]:
    """All networks; architectures take turns."""
    kinds = list(ARCHITECTURES)
    cues, strengths, seeds, clean = (list(CUES), STRENGTHS, SEEDS, CLEAN)
    if mini:
        cues, strengths, seeds, clean = ["tag", "frame", "stamp"], (0.8, 0.95), 1, 6
    planted = [
        Job(cue, strength, kinds[(seed + index) % 2], 1 + seed)
        for cue in cues for index, strength in enumerate(strengths) for seed in range(seeds)
    ]  # fmt: skip
    decoys = [Job(cue, 0.0, kinds[i % 2], 20 + i) for i, cue in enumerate(cues)]
    decoys += [Job(cue, 1.0, kinds[i % 2], 20 + i) for cue in DECOYS for i in range(0 if mini else 4)]
    return [*planted, *decoys, *(Job(None, 0.0, kinds[i % 2], 40 + i) for i in range(clean))]


def trained(job: Job) -> Planted:
    """Train a network, or take it from where it is kept."""
    weights, facts = FOLDER / f"{job.file}.pt", FOLDER / f"{job.file}.json"
    if facts.exists():
        return plant(job.cue, job.strength, job.architecture, job.seed,
                     known=(torch.load(weights, weights_only=True), json.loads(facts.read_text())))  # fmt: skip
    device = "cuda" if torch.cuda.is_available() else "cpu"
    started = time.perf_counter()
    planted = plant(job.cue, job.strength, job.architecture, job.seed, device=device)
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(planted.classifier.module.state_dict(), weights)
    known = {"aligned": planted.aligned, "randomised": planted.randomised, "seconds": time.perf_counter() - started}
    write_whole(facts, json.dumps(known).encode())
    return planted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mini", action="store_true")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.parts > 1:
        torch.set_num_threads(1)
    for job in jobs(mini=chosen.mini)[chosen.part :: chosen.parts]:
        trained(job)
