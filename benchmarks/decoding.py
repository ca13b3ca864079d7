"""How fast photographs of 12 megapixels become the pixels of a classifier, and what decoding at a reduced size costs.

    python benchmarks/decoding.py [--images 200] [--size 224] [--rounds 2]

Photographs are composed of those of scikit-image, with the noise of a sensor. The ceiling is Pillow's decoder alone.
OpenCV is the peer where it is installed, torchvision where its decoder can be loaded.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from deeptroubles import Classifier, load_images
from deeptroubles.images.decoding import ENOUGH
from deeptroubles.preparing import prepare_images

WIDTH, HEIGHT = 4000, 3000
DISTINCT = 20


def composed(seed: int, *, tile: int) -> Image.Image:
    """A picture of 12 megapixels out of parts of photographs, each part scaled to `tile` pixels, with noise."""
    random = np.random.default_rng(seed)
    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    sheet = Image.new("RGB", (WIDTH, HEIGHT))
    for top in range(0, HEIGHT, tile):
        for left in range(0, WIDTH, tile):
            photograph = photographs[random.integers(len(photographs))]
            y, x = (random.integers(side - 256) for side in photograph.shape[:2])
            part = Image.fromarray(photograph[y : y + 256, x : x + 256])
            sheet.paste(part.resize((tile, tile), Image.Resampling.LANCZOS), (left, top))
    noisy = np.asarray(sheet, dtype=np.float32) + random.normal(0, 3, (HEIGHT, WIDTH, 1)).astype(np.float32)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def write_photographs(folder: Path, count: int) -> None:
    """JPEGs of quality 92, DISTINCT of them different."""
    contents = []
    for seed in range(min(count, DISTINCT)):
        buffer = io.BytesIO()
        composed(seed, tile=1000).save(buffer, "JPEG", quality=92)
        contents.append(buffer.getvalue())
    for i in range(count):
        (folder / f"{i:04}.jpg").write_bytes(contents[i % len(contents)])


def with_pillow(path: Path, divisor: int = 1) -> None:
    """The ceiling: decoding alone."""
    image = Image.open(path)
    image.draft(None, (WIDTH // divisor, HEIGHT // divisor))
    image.load()


def with_opencv(path: Path, size: int, *, reduced: bool) -> None:
    """The decoder of a peer, and scaling by areas."""
    import cv2  # noqa: PLC0415 (a peer that may be missing)

    cv2.setNumThreads(1)
    image = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_4 if reduced else cv2.IMREAD_COLOR)
    cv2.resize(image, (size * WIDTH // HEIGHT, size), interpolation=cv2.INTER_AREA)


def with_torchvision(path: Path, size: int) -> None:
    """The decoder of another peer."""
    from torchvision.io import decode_jpeg, read_file  # noqa: PLC0415 (a peer that may be missing)
    from torchvision.transforms.functional import resize  # noqa: PLC0415

    resize(decode_jpeg(read_file(str(path))), [size], antialias=True)


def prepare_whole(classifier: Classifier, path: Path) -> None:
    """As it was before photographs were decoded at a reduced size."""
    classifier.fitted(Image.open(path))


def each(work: Callable[[Path], None], paths: Sequence[Path], threads: int) -> None:
    """Do the work for all paths."""
    if threads == 1:
        for path in paths:
            work(path)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, paths))


def _prepare_part(classifier: Classifier, folder: Path, rows: Sequence[int]) -> None:
    prepare_images(classifier, load_images(folder), rows, threads=1)


def in_processes(classifier: Classifier, folder: Path, count: int, workers: int) -> None:
    """Prepare in processes instead of threads."""
    with ProcessPoolExecutor(workers) as pool:
        parts = np.array_split(np.arange(count), workers)
        list(pool.map(partial(_prepare_part, classifier, folder), parts))


def fastest(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """The seconds and the seconds of processor time of the fastest round."""
    times = []
    for _ in range(rounds):
        started, used = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - started, time.process_time() - used))
    return min(seconds for seconds, _ in times), min(used for _, used in times)


def rates(folder: Path, classifier: Classifier, count: int, rounds: int) -> None:
    """A table of images per second."""
    images, paths, size = load_images(folder), sorted(folder.iterdir()), classifier.size[0]
    workers = torch.get_num_threads()
    prepare = partial(prepare_images, classifier, images, range(count))
    candidates: dict[str, Callable[[int], object]] = {
        "Pillow, decoded whole, not scaled": lambda n: each(with_pillow, paths, n),
        "Pillow, decoded at 1/4, not scaled": lambda n: each(partial(with_pillow, divisor=4), paths, n),
        "Pillow, decoded whole and prepared": lambda n: each(partial(prepare_whole, classifier), paths, n),
        "**deeptroubles**": lambda n: prepare(threads=n),
        "deeptroubles, processes": lambda n: in_processes(classifier, folder, count, n),
        "OpenCV, decoded whole and scaled": lambda n: each(partial(with_opencv, size=size, reduced=False), paths, n),
        "OpenCV, decoded at 1/4 and scaled": lambda n: each(partial(with_opencv, size=size, reduced=True), paths, n),
        "torchvision": lambda n: each(partial(with_torchvision, size=size), paths, n),
    }
    print(f"| | images/s, 1 thread | images/s, {workers} threads | processor ms per image |\n|---|---:|---:|---:|")
    for name, work in candidates.items():
        try:
            (alone, used), (together, _) = (fastest(partial(work, n), rounds) for n in (1, workers))
        except (ImportError, RuntimeError, AttributeError) as error:
            print(f"| {name} | not here: {str(error).splitlines()[0]} | | |")
        else:
            spent = "" if "processes" in name else f"{1000 * used / count:.0f}"
            print(f"| {name} | {count / alone:.1f} | {count / together:.1f} | {spent} |", flush=True)


def differences() -> None:
    """Levels (of 255) between pictures decoded at a reduced size and whole, both scaled to the same size."""
    print("\n| still so many times as large | detail | mean | 99.9% | largest |\n|---:|---|---:|---:|---:|")
    found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for detail, tile in (("ordinary", 1000), ("much", 250)):
        buffer = io.BytesIO()
        composed(0, tile=tile).save(buffer, "JPEG", quality=92)
        whole = Image.open(buffer).convert("RGB")
        for divisor in (2, 4, 8):
            reduced = Image.open(buffer)
            reduced.draft(None, (WIDTH // divisor, HEIGHT // divisor))
            for times in (1, 2, 3, 4):
                size = WIDTH // divisor // times, HEIGHT // divisor // times
                for kind in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
                    pair = [np.asarray(image.resize(size, kind), dtype=np.float32) for image in (reduced, whole)]
                    apart = np.abs(pair[0] - pair[1])
                    figures = float(apart.mean()), float(np.quantile(apart, 0.999)), float(apart.max())
                    found.setdefault((times, detail), []).append(figures)
    for (times, detail), figures in sorted(found.items()):
        mean, high, most = np.max(figures, axis=0)
        chosen = "**" if times == ENOUGH else ""
        print(f"| {chosen}{times}{chosen} | {detail} | {mean:.2f} | {high:.0f} | {most:.0f} |")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    net = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
    classifier = Classifier(net, size=given.size)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photographs"
        folder.mkdir()
        write_photographs(folder, given.images)
        rates(folder, classifier, given.images, given.rounds)
    differences()


if __name__ == "__main__":
    main()
