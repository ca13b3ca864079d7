"""The engine that works on a Ray cluster: `ray` starts one on this machine, `ray://HOST:PORT` uses a running one.

Each worker holds the model, which is sent to every machine once. Workers take chunks in turn, and results come back in
order, so that findings do not depend on the cluster. A chunk whose worker dies or hangs is done again by another one.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deeptroubles.engine.engine import Arrays, Work, done_within_memory
from deeptroubles.engine.local import LocalEngine
from deeptroubles.errors import EngineError
from deeptroubles.run.folder import RunFolder
from deeptroubles.subject import Subject

STARTS_WITHIN = 60.0
"""Seconds in which a worker must have started, or there is no room for it."""
AHEAD = 2
"""Chunks that are given to each worker before the first of them is back."""
TRIES = 3
"""How often a chunk is tried before the run gives up."""
PATIENCE = 900.0
"""Seconds after which a chunk counts as hanging."""
_SUBJECTS_HELD = 2


class Worker:
    """A process of the cluster. It holds the subjects that it worked on last."""

    def __init__(self, threads: int) -> None:
        torch = importlib.import_module("torch")
        torch.set_num_threads(threads)
        self._held: dict[Any, Subject] = {}

    def ready(self) -> None:
        """Return, which shows that the worker has started."""

    def do(
        self, work: Work, subject: list[Any], part: tuple[Any, ...], batch_size: int, settings: Mapping[str, Any]
    ) -> Arrays:
        """Do a part of the work. `subject` is a list with the reference, so that Ray does not fetch it every time."""
        ray = importlib.import_module("ray")
        (reference,) = subject
        if reference not in self._held:
            while len(self._held) >= _SUBJECTS_HELD:
                del self._held[next(iter(self._held))]
            self._held[reference] = _on_its_device(ray.get(reference))
        return done_within_memory(work, self._held[reference], part, batch_size, settings)


class RayEngine(LocalEngine):
    """Does the work on a cluster; results are kept by this process, in the run folder.

    Args:
        folder: The run folder; None: nothing is kept.
        batch_size: How many images are shown at once.
        address: Of a running cluster, such as `ray://head:10001`. Default: one is started here for this process.

    Raises:
        EngineError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, folder: RunFolder | None = None, batch_size: int = 32, address: str = "") -> None:
        super().__init__(folder, batch_size)
        self._ray = _started(address)
        self.repeated = 0
        """Chunks that were done again, because their worker died or hung."""
        self._workers: list[Any] = []
        self._put: dict[str, Any] = {}

    def computed(  # noqa: D102 (see LocalEngine)
        self, work: Work, subject: Subject, parts: Sequence[tuple[Any, ...]], settings: Mapping[str, Any]
    ) -> Iterator[Arrays]:
        if not parts:
            return
        reference = self._reference(subject)
        waiting: deque[tuple[Any, Any, tuple[Any, ...]]] = deque()
        workers = self._crew()
        for number, part in enumerate(parts):
            worker = workers[number % len(workers)]
            call = worker.do.remote(work, [reference], part, self.batch_size, dict(settings))
            waiting.append((call, worker, part))
            if len(waiting) >= AHEAD * len(workers):
                yield self._result(work, reference, settings, *waiting.popleft())
        while waiting:
            yield self._result(work, reference, settings, *waiting.popleft())

    def _result(
        self, work: Work, reference: Any, settings: Mapping[str, Any], call: Any, worker: Any, part: tuple[Any, ...]
    ) -> Arrays:
        """The result of a call; again by a new worker where the old one died or hangs."""
        errors = self._ray.exceptions
        for _ in range(TRIES):
            try:
                return dict(self._ray.get(call, timeout=PATIENCE))
            except (errors.RayActorError, errors.WorkerCrashedError, errors.NodeDiedError, errors.GetTimeoutError):
                self.repeated += 1
                worker = self._another(worker)
                call = worker.do.remote(work, [reference], part, self.batch_size, dict(settings))
            except errors.RayTaskError as error:
                raise error.as_instanceof_cause() from None
        raise EngineError(
            f"A part of the work was tried {TRIES} times, and its worker died or hung every time; run the same command "
            "again to resume, with --engine local to do without the cluster."
        )

    def _reference(self, subject: Subject) -> Any:
        """The subject on the cluster, put there once. Prepared pixels are kept on one machine only."""
        key = f"{subject.fingerprint} {subject.kept.path if subject.kept else ''}"
        if key not in self._put:
            alone = len(self._ray.nodes()) == 1
            sent = replace(subject, kept=subject.kept if alone else None)
            vars(sent)["fingerprint"] = subject.fingerprint  # known here; computing it would read every image
            self._put[key] = self._ray.put(sent)
        return self._put[key]

    def _crew(self) -> list[Any]:
        """One worker for each core, or for each GPU where there are some, as far as others leave them free."""
        if not self._workers:
            there = self._ray.cluster_resources()
            gpus = int(there.get("GPU", 0))
            asked = [self._worker(gpus > 0) for _ in range(gpus or max(1, int(there.get("CPU", 1))))]
            signs = {worker.ready.remote(): worker for worker in asked}
            ready, late = self._ray.wait(list(signs), num_returns=len(signs), timeout=STARTS_WITHIN)
            for sign in late:
                self._ray.kill(signs[sign])
            self._workers = [signs[sign] for sign in ready]
        if not self._workers:
            raise EngineError(
                f"No worker started within {STARTS_WITHIN:.0f} seconds, because the cluster has no free core; wait "
                "until other work on it ends, or use --engine local."
            )
        return self._workers

    def _worker(self, on_gpu: bool) -> Any:  # noqa: FBT001 (of one call)
        return self._ray.remote(Worker).options(num_cpus=1, num_gpus=1 if on_gpu else 0).remote(1)

    def _another(self, failed: Any) -> Any:
        """A worker that lives. The failed one is replaced, unless an earlier chunk of it already had it replaced."""
        others = [worker for worker in self._workers if worker is not failed]
        if len(others) < len(self._workers):
            self._ray.kill(failed)
            new = self._worker(self._ray.cluster_resources().get("GPU", 0) > 0)
            try:
                self._ray.get(new.ready.remote(), timeout=STARTS_WITHIN)
                others.append(new)
            except (self._ray.exceptions.GetTimeoutError, self._ray.exceptions.RayActorError):
                self._ray.kill(new)  # the cluster has no room for it any more
            self._workers[:] = others or [failed]
        return self._workers[self.repeated % len(self._workers)]

    def close(self) -> None:
        """Stop the workers."""
        for worker in self._workers:
            self._ray.kill(worker)
        self._workers, self._put = [], {}


def _started(address: str) -> Any:
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise EngineError('Ray is not installed; install it with pip install "deeptroubles[ray]".') from error
    if not ray.is_initialized():
        try:
            where = {"address": address} if address else {}
            ray.init(**where, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            problem = f"There is no Ray cluster at {address}" if address else "Ray cannot start on this machine"
            reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
            raise EngineError(f"{problem} ({reason}); use --engine local, or another address.") from error
    return ray


def _on_its_device(subject: Subject) -> Subject:
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        subject.classifier.to("cuda")
    return subject
