"""A server on a small network and crops of photographs, for tests of the pages and of what they ask."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


class _AsTheyCome(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@contextmanager
def proxied(server: Server, prefix: str) -> Iterator[str]:
    """The entrance of a proxy that puts the server below a prefix, and asks it without."""
    port = urllib.parse.urlsplit(server.address).port
    asking = urllib.request.build_opener(_AsTheyCome)

    class Proxy(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
            there = f"http://127.0.0.1:{port}{self.path.removeprefix(prefix)}"
            sent = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            request = urllib.request.Request(there, body, sent, method=self.command)
            try:
                found = asking.open(request) if self.path.startswith(prefix) else None
            except urllib.error.HTTPError as refused:
                found = refused
            self.send_response(found.status if found else 404)
            for name, value in found.headers.items() if found else ():
                if name.lower() not in {"connection", "transfer-encoding", "content-length", "date", "server"}:
                    self.send_header(name, value)
            content = found.read() if found else b""
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}{prefix}/{server.entrance.rpartition('/')[2]}"
        proxy.shutdown()
