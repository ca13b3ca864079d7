"""Do verdicts that stop early agree with those on all images?

    python benchmarks/agreement.py PHOTOGRAPHS [--networks N]

PHOTOGRAPHS is a folder of CIFAR-10 (see photo_networks.py, which trained the networks). Each of the CHECKS, which stop
early, looks at all 2,600 photographs once. Then it is asked about SETS random sets of each size, once until it is
decided and once to the end; what was found in each image is taken from the first pass.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from benchmarks import photo_networks
from benchmarks.planted import line
from numpy.typing import NDArray

from deeptroubles.checks import looks as looking
from deeptroubles.checks.limits import Limits
from deeptroubles.checks.registry import all_checks
from deeptroubles.engine import Arrays, LocalEngine
from deeptroubles.findings import Verdict
from deeptroubles.progress import track
from deeptroubles.recording import Recording, record

SIZES, SETS = (200, 500, 1000), 4
CHECKS = (
    *("stability.rotation", "stability.scale", "stability.translation", "stability.corruption"),
    "reliance.patch_shuffling",
)


class Remembered:
    """An engine that knows what was found in every image."""

    def __init__(self, looks: looking.Looks) -> None:
        self.looks = looks

    def map(self, work: Any, subject: Any, items: NDArray[np.int64], **settings: Any) -> Arrays:
        """What was found in some images."""
        at = np.searchsorted(self.looks.rows, items)
        return {name: values[at] for name, values in self.looks.found.items()}


@dataclass(frozen=True)
class Asked:
    """How a check asked, and what was found in all images."""

    looks: looking.Looks
    judge: Callable[[looking.Looks], Any]
    limits: Limits
    views: float
    first: int


def everything(name: str, recording: Recording) -> Asked:
    """Ask a check about all images, and note how it asked."""
    check, kept = all_checks()[name], list[Asked]()
    real = looking.look

    def noted(*given: Any, **more: Any) -> looking.Looks:
        found = real(*given, **more)
        kept.append(Asked(found, more["judge"], more["limits"], more["views"], more.get("first", looking.FIRST)))
        return found

    room = sys.modules[check.function.__module__]
    if not hasattr(room, "look"):
        room = sys.modules["deeptroubles.checks.stability.shared.sweep"]
    with patch.object(room, "look", noted), patch.object(Limits, "is_settled", lambda *_: False):
        check.function(recording, LocalEngine(batch_size=128), seed=0)
    return kept[0]


def verdicts(asked: Asked, recording: Recording, rows: NDArray[np.int64], seed: int) -> tuple[Verdict, Verdict, int]:
    """The verdict of a check that stops when it is decided, that on all images, and how many it looked at."""
    found = []
    for settled in (Limits.is_settled, lambda *_: False):
        with patch.object(Limits, "is_settled", settled):
            seen = looking.look(
                recording,
                Remembered(asked.looks),  # type: ignore[arg-type]
                everything,  # type: ignore[arg-type]
                rows,
                judge=asked.judge,
                limits=asked.limits,
                views=asked.views,
                task="Asking",
                seed=seed,
                first=asked.first,
            )
        found.append((seen.verdict(asked.limits, asked.judge(seen)), len(seen.rows)))
    (early, count), (late, _) = found
    return early, late, count


def main() -> None:
    """Ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--networks", type=int, default=4)
    chosen = parser.parse_args()
    parts = [photo_networks.photographs(chosen.photographs, split) for split in ("train", "test")]
    images, classes = (torch.cat(column) for column in zip(*parts, strict=True))
    shown = photo_networks.audit_set(images, classes, photo_networks.CLASSES)
    jobs = [job for job in photo_networks.jobs() if job.mode == "published"]
    jobs += [job for job in photo_networks.jobs() if job.mode in {"clean", "one"}][: chosen.networks - len(jobs)]
    pairs: dict[str, list[tuple[Verdict, Verdict, int, int]]] = {name: [] for name in CHECKS}
    for job in track(jobs, "Looking at everything"):
        classifier = photo_networks.network(job, chosen.photographs).classifier
        recording = record(classifier, shown, LocalEngine(batch_size=128))
        for name in CHECKS:
            asked = everything(name, recording)
            for size in SIZES:
                for seed in range(SETS):
                    drawn = np.random.default_rng([seed, size]).choice(asked.looks.rows, size, replace=False)
                    pairs[name].append((*verdicts(asked, recording, np.sort(drawn), seed), size))
    line("check", "pairs", "agree", "looked at", "early, late where they differ")
    line("---", "---:", "---:", "---:", "---")
    for name, rows in pairs.items():
        agree = np.mean([early == late for early, late, *_ in rows])
        shares = [f"{np.mean([n / of for *_, n, of in rows if of == size]):.0%} of {size}" for size in SIZES]
        differ = Counter(f"{early}, {late}" for early, late, *_ in rows if early != late)
        line(name, len(rows), f"{agree:.1%}", ", ".join(shares), "; ".join(f"{k}: {n}" for k, n in differ.items()))
    every = [pair for rows in pairs.values() for pair in rows]
    print(f"\nAll: {np.mean([e == late for e, late, *_ in every]):.1%} of {len(every)} agree.")


if __name__ == "__main__":
    main()
