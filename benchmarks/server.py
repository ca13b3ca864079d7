"""Fifty people at the same server for a minute: requests, errors, times, and memory.

    python -m benchmarks.server [--clients 50] [--seconds 60]

The embedded network and the photographs of the demo; the server is a process of its own. Every client asks again and
again for what a page asks for: what is looked at, the table, a picture, the audit, a prediction for an edited image.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from benchmarks.planted import line

TOKEN = "benchmark"  # noqa: S105 (it opens nothing)
GET = ("/api/about", "/api/data/table", "/api/audit", "/api/jobs", "/api/images/{row}/picture")
Times, Counts = defaultdict[str, list[float]], defaultdict[str, int]
LOOK = {"image": 0, "edits": [{"kind": "hue", "degrees": 20}]}


def start(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The server, and where it is."""
    command = [sys.executable, "-m", "deeptroubles", "serve", "efficientnet-lite0", "--images", "demo"]
    settings = ["--out", str(folder / "run"), "--port", "0", "--token", TOKEN]
    server = subprocess.Popen([*command, *settings], stdout=subprocess.PIPE, text=True)  # noqa: S603 (ours)
    assert server.stdout  # noqa: S101 (it is a pipe)
    address = next(text.split()[1] for text in server.stdout if text.startswith("Open "))
    return server, urlsplit(address).netloc


def ask(place: str, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(place, timeout=60)
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def resident(process: subprocess.Popen[str]) -> float:
    """GiB of memory."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(row.split()[1] for row in text.splitlines() if row.startswith("VmRSS"))) / 2**20


def keep_asking(place: str, number: int, until: float, took: Times, wrong: Counts) -> None:
    """One person's requests until a time."""
    drawn = random.Random(number)  # noqa: S311 (not for secrets)
    while time.monotonic() < until:
        path = drawn.choice([*GET, "/api/what-if/look"])
        body = LOOK if path.endswith("look") else None
        began = time.monotonic()
        try:
            status, _ = ask(place, "POST" if body else "GET", path.format(row=drawn.randrange(15)), body)
        except OSError:
            status = 0
        took[path].append(time.monotonic() - began)
        wrong[path] += status != 200


def main() -> None:
    """Serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    chosen = parser.parse_args()
    took, wrong = Times(list), Counts(int)
    with TemporaryDirectory() as folder:
        server, place = start(Path(folder))
        try:
            job = json.loads(ask(place, "POST", "/api/data/table")[1])
            while json.loads(ask(place, "GET", f"/api/jobs/{job}")[1])["state"] != "done":
                time.sleep(0.2)
            before, until = resident(server), time.monotonic() + chosen.seconds
            arguments = [(place, i, until, took, wrong) for i in range(chosen.clients)]
            threads = [threading.Thread(target=keep_asking, args=each) for each in arguments]
            for thread in threads:
                thread.start()
            peak = before
            while any(thread.is_alive() for thread in threads):
                peak = max(peak, resident(server))
                time.sleep(0.5)
            after = resident(server)
        finally:
            server.terminate()
            server.wait(20)
    show(took, wrong)
    print(
        f"\n{chosen.clients} clients, {chosen.seconds:.0f} s: {sum(map(len, took.values())):,} requests, "
        f"{sum(wrong.values())} errors; memory {before:.2f} GiB before, {peak:.2f} at most, {after:.2f} after"
    )


def show(took: Times, wrong: Counts) -> None:
    """A row per address."""
    line("address", "requests", "errors", "median, ms", "95%, ms")
    line("---", "---:", "---:", "---:", "---:")
    for path, times in sorted(took.items()):
        last = quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
        line(path, f"{len(times):,}", wrong[path], f"{1000 * median(times):.0f}", f"{1000 * last:.0f}")


if __name__ == "__main__":
    main()
