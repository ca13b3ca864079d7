"""A server on a small network and crops of photographs, for tests of the pages and of what they ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import uvicorn
from fastapi import FastAPI

from deeptroubles import Classifier, ImageSet
from deeptroubles.serving.app import make_app
from deeptroubles.serving.guard import Guard
from deeptroubles.serving.workbench import Opened, Workbench
from tests.networks import Plain
from tests.photographs import crops

TOKEN = "a token for tests"  # noqa: S105 (it opens nothing)
NAMES = ["cat", "dog", "horse", "owl & mouse"]


def opened(count: int = 40, size: int = 32, beside: bool = False) -> Opened:
    """A network with random weights, and labelled crops with a group, a place and a number."""
    torch.manual_seed(0)
    classifier = Classifier(Plain().eval(), size=size, class_names=NAMES, name="plain")
    pictures = (crops(count, size) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    images = ImageSet.from_arrays(pictures, [NAMES[i % 4] for i in range(count)])
    images.table["camera"] = ["old" if i % 3 else "new" for i in range(count)]
    images.table["depth"] = [i / 7 for i in range(count)]
    other = Classifier(Plain(seed=1).eval(), size=size, class_names=NAMES, name="other") if beside else None
    return Opened(classifier, images, other)


def various(what: Opened) -> Opened:
    """The same, with the logits of each class centered and scaled, so that predictions differ between the images."""
    head, images = what.classifier.module[-1], range(len(what.images))
    pixels = torch.stack([what.classifier.prepare(what.images[i]) for i in images])
    with torch.no_grad():
        logits = what.classifier(pixels)
        scale = 1 / logits.std(0)
        head.bias.copy_((head.bias - logits.mean(0)) * scale)
        head.weight.mul_(scale[:, None])
    return what


def application(folder: Path, what: Opened | None = None) -> FastAPI:
    """The application without its guard."""
    return make_app(Workbench(folder, what or opened()))


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    address: str
    bench: Workbench

    @property
    def entrance(self) -> str:
        """The address with the token."""
        return f"{self.address}/?token={TOKEN.replace(' ', '%20')}"

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends to be let in."""
        return {"authorization": f"Bearer {TOKEN}"}


@contextmanager
def serving(
    folder: Path, what: Opened | None = None, root_path: str = "", *, with_model: bool = True
) -> Iterator[Server]:
    """A guarded server on a free port, in a thread; without its model it shows what the folder holds."""
    bench = Workbench(folder, what or opened()) if with_model else Workbench(folder)
    app = Guard(make_app(bench, root_path), token=TOKEN, root_path=root_path)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Server(f"http://127.0.0.1:{port}{root_path}", bench)
    finally:
        server.should_exit = True
        thread.join(10)
        bench.close()
