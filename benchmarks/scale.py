"""What many images cost: speed with one and two workers, overhead, and memory from 1,000 to 100,000 images.

python benchmarks/scale.py speed [--images 256 --rounds 5]   recording against bare forward passes, interleaved
python benchmarks/scale.py memory [--counts 1000 10000 100000]   a process for each number of images
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from deeptroubles import Classifier, ImageSet, load_classifier, load_images
from deeptroubles.engine import LocalEngine
from deeptroubles.engine.engine import Engine
from deeptroubles.methods.units.index_units import index_units
from deeptroubles.recording import record
from deeptroubles.run.folder import RunFolder
from deeptroubles.run.pixels import keeping_pixels
from deeptroubles.subject import Subject, logits_of

SMALL = 16
"""The side of images of which there are many."""


def jpeg(seed: int, side: int, kind: str) -> bytes:
    """A drawn image in a file."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BILINEAR).save(buffer, kind)
    return buffer.getvalue()


def write_shard(path: Path, count: int, side: int, kind: str) -> None:
    """A tar shard of `count` images: a hundred different ones, again and again."""
    drawn = [jpeg(seed, side, kind) for seed in range(min(count, 100))]
    with tarfile.open(path, "w") as archive:
        for i in range(count):
            content = drawn[i % len(drawn)]
            member = tarfile.TarInfo(f"class{i % 10}/{i:07}.{kind.lower()}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def tiny() -> Classifier:
    """A network that takes no time."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return Classifier(nn.Sequential(*layers).eval(), size=SMALL, class_names=[f"class{i}" for i in range(10)])


def recorded(classifier: Classifier, images: ImageSet, engine: Engine) -> float:
    """Seconds of a recording: decoding, the forward passes, and keeping both."""
    with tempfile.TemporaryDirectory() as folder:
        engine.folder = RunFolder(folder, {"model": "benchmark"})  # type: ignore[attr-defined]
        started = time.perf_counter()
        with keeping_pixels(engine.folder) as pixels:  # type: ignore[attr-defined]
            record(classifier, images, engine, pixels=pixels)
        return time.perf_counter() - started


def measure_speed(count: int, rounds: int) -> None:
    """Bare forward passes, and recordings here and by one and two workers, in turn; medians and ratios by round."""
    import ray  # noqa: PLC0415 (only this part needs it)

    from deeptroubles.engine.ray import RayEngine  # noqa: PLC0415

    torch.set_num_threads(1)
    classifier = load_classifier("efficientnet-lite0")
    with tempfile.TemporaryDirectory() as place:
        write_shard(Path(place) / "x.tar", count, 256, "JPEG")
        images = load_images(Path(place) / "x.tar")
        pixels = Subject.unlabelled(classifier, images).pixels(range(count))
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
        two, one = RayEngine(), RayEngine()
        crew = two._crew()  # noqa: SLF001 (the same workers for both)
        one._workers = crew[:1]  # noqa: SLF001
        jobs = {
            "bare forward passes": lambda: timed(lambda: logits_of(classifier, pixels)),
            "recording here": lambda: recorded(classifier, images, LocalEngine()),
            "recording, 1 worker": lambda: recorded(classifier, images, one),
            "recording, 2 workers": lambda: recorded(classifier, images, two),
        }
        for engine in (one, two):
            recorded(classifier, images.subset(range(min(count, 128))), engine)  # workers load the model
        seen = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, job in jobs.items():
                seen[name].append(job())
    bare = np.array(seen["bare forward passes"])
    for name, seconds in seen.items():
        ratios = bare / np.array(seconds)
        print(
            f"{name}: {count / np.median(seconds):.1f} images/s (median of {rounds}; {min(seconds):.1f} to "
            f"{max(seconds):.1f} s), {np.median(ratios):.2f} times bare ({ratios.min():.2f} to {ratios.max():.2f})"
        )
    gain = np.array(seen["recording, 1 worker"]) / np.array(seen["recording, 2 workers"])
    print(f"2 workers against 1: {np.median(gain):.2f} times ({gain.min():.2f} to {gain.max():.2f})")


def timed(job: object) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    job()  # type: ignore[operator]
    return time.perf_counter() - started


def measure_memory(counts: list[int]) -> None:
    """A new process for each number of images, so that its peak is its own."""
    for count in counts:
        done = subprocess.run([sys.executable, __file__, "one", str(count)], capture_output=True, text=True, check=True)  # noqa: S603
        print(done.stdout.strip(), flush=True)


def one_run(count: int) -> None:
    """List a shard, record it, and index all units; print seconds and the growth of the peak of memory after each."""
    torch.set_num_threads(1)
    classifier, found = tiny(), {}
    with tempfile.TemporaryDirectory() as place:
        write_shard(Path(place) / "x.tar", count, SMALL, "PNG")
        warm = ImageSet.from_arrays(np.zeros((64, SMALL, SMALL, 3), np.uint8))
        index_units(Subject.unlabelled(classifier, warm), LocalEngine(), keep=0)
        before = peak()
        started = time.perf_counter()
        images = load_images(Path(place) / "x.tar")
        images.fingerprint()
        found["listing"] = (time.perf_counter() - started, peak() - before)
        folder = RunFolder(Path(place) / "run", {"model": "benchmark"})
        engine = LocalEngine(folder)
        with keeping_pixels(folder) as pixels:
            started = time.perf_counter()
            recording = record(classifier, images, engine, pixels=pixels)
            found["recording"] = (time.perf_counter() - started, peak() - before)
            started = time.perf_counter()
            index_units(recording.subject, engine)
            found["indexing"] = (time.perf_counter() - started, peak() - before)
        started = time.perf_counter()
        logits_of(classifier, torch.zeros(min(count, 4096), 3, SMALL, SMALL))
        bare = (time.perf_counter() - started) * 1000 / min(count, 4096)
        kept = sum(file.stat().st_size for file in (Path(place) / "run").rglob("*") if file.is_file())
    steps = ", ".join(
        f"{name} {seconds * 1000 / count:.2f} s per 1,000 (+{mib:.0f} MiB)" for name, (seconds, mib) in found.items()
    )
    print(f"{count} images: {steps}; bare forward {bare:.3f} s per 1,000; {kept / count:.0f} bytes kept per image")


def peak() -> float:
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "one"])
    parser.add_argument("count", nargs="?", type=int)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    given = parser.parse_args()
    if given.what == "speed":
        measure_speed(given.images, given.rounds)
    elif given.what == "memory":
        measure_memory(given.counts)
    else:
        one_run(given.count)
