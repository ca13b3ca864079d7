"""How quickly the what-if page sees an edit: round trips over HTTP, on the embedded network and its 15 photographs.

Run `OMP_WAIT_POLICY=passive python benchmarks/what_if.py [MODEL IMAGES]`: `deeptroubles serve` sets this too. Each
round is a new position of the brush or the slider, as while somebody drags. Printed: the median and the 95th percentile
in milliseconds, and the ratio to a whole forward pass, which is measured in between. A stroke grows by a few pixels
from round to round; every tenth begins elsewhere.
"""

from __future__ import annotations

import base64
import io
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.served import Server, serving

import deeptroubles as dt
from deeptroubles.serving.workbench import Opened
from deeptroubles.subject import logits_of

ROUNDS, BRUSH = 100, 28
IMAGE = 3


def ask(server: Server, path: str, body: Any) -> Any:
    """What the server answers."""
    headers = {**server.headers, "content-type": "application/json"}
    request = urllib.request.Request(f"{server.address}/api{path}", json.dumps(body).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


def stroke(i: int) -> list[dict[str, Any]]:
    """A brush stroke that grows for ten rounds, on the strokes before it."""
    strokes = [_patch(round_, 9) for round_ in range(i // 10)]
    return [*strokes, _patch(i // 10, i % 10)]


def _patch(number: int, grown: int) -> dict[str, Any]:
    pixels = np.full((BRUSH, BRUSH + 4 * grown, 4), 128, dtype=np.uint8)
    pixels[..., 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    top, left = 60 + 7 * number % 60, 50 + 11 * number % 60
    return {"kind": "patch", "top": top, "left": left, "png": base64.b64encode(buffer.getvalue()).decode()}


EDITS: dict[str, tuple[Callable[[int], list[dict[str, Any]]], bool]] = {
    "brush stroke": (stroke, False),
    "shift": (lambda i: [{"kind": "shift", "down": i % 10 - 5, "right": i // 10 - 5}], True),
    "hue": (lambda i: [{"kind": "hue", "degrees": i - 50.5}], True),
}


def main(model: str, images: str) -> None:
    """Measure and print."""
    classifier = dt.load_classifier(model)
    opened = Opened(classifier, dt.load_images(images))
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "run", opened) as server:
        job = ask(server, "/what-if/prepare", {})
        while ask_job(server, job)["state"] not in {"done", "failed"}:
            time.sleep(0.2)
        pixels = server.bench.recording.subject.pixels([IMAGE])
        ask(server, "/what-if/look", {"image": IMAGE})
        print(f"{model}, {torch.get_num_threads()} threads")
        for name, (edits, picture) in EDITS.items():
            taken, whole = [], []
            for i in range(ROUNDS):
                asked = {"image": IMAGE, "edits": edits(i), "picture": picture}
                taken.append(_milliseconds(partial(ask, server, "/what-if/look", asked)))
                whole.append(_milliseconds(partial(logits_of, classifier, pixels, 1)))
            middle, passing, tail = statistics.median(taken), statistics.median(whole), np.percentile(taken, 95)
            ratio = middle / passing
            print(f"{name}: {middle:.0f} ms, p95 {tail:.0f} ms, {ratio:.2f} of a whole pass ({passing:.0f} ms)")


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def ask_job(server: Server, number: int) -> Any:
    """A job."""
    request = urllib.request.Request(f"{server.address}/api/jobs/{number}", headers=server.headers)  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return json.load(answer)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ("efficientnet-lite0", "demo")))
