"""Long work in the background: one at a time, with progress, a bounded queue and a way to cancel."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

from deeptroubles.errors import DeeptroublesError
from deeptroubles.progress import Silent, reporting_to

_log = logging.getLogger(__name__)
WAITING = 16
"""Jobs that may wait."""
KEPT = 50
"""Jobs that are remembered when they are over."""
PATIENCE = 30
"""Seconds for a job to notice that it is to stop, when the server ends."""
State = Literal["waiting", "running", "done", "failed", "cancelled"]
OVER = {"done", "failed", "cancelled"}


class TooManyJobsError(DeeptroublesError):
    """The queue is full."""


class Cancelled(KeyboardInterrupt):
    """The job was stopped; its work ends as it does with Ctrl-C."""


@dataclass
class Job:
    """Work that waits, runs or is over.

    Attributes:
        id: Its number.
        title: What it does.
        state: Where it is.
        task: What it is doing right now, of which `done` of `total` are done.
        step: What it showed last, for those who watch; plain values that JSON can hold.
        result: What it gave, when it is done; plain values.
        error: Why it failed.
    """

    id: int
    title: str
    state: State = "waiting"
    task: str = ""
    done: int = 0
    total: int = 0
    step: Any = None
    result: Any = None
    error: str = ""
    version: int = 0
    stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def show(self, step: Any) -> None:
        """Show a step to those who watch. Raises Cancelled if the job was stopped."""
        self.step = step
        self.changed()

    def changed(self) -> None:
        """Notify those who watch. Raises Cancelled if the job was stopped."""
        self.version += 1
        if self.stop.is_set():
            raise Cancelled


class Jobs:
    """The jobs of a server. One runs at a time: each of them uses all cores."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[Job, Callable[[Job], Any]] | None] = queue.SimpleQueue()
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def start(self, title: str, work: Callable[[Job], Any]) -> Job:
        """Put work at the end of the queue.

        Args:
            title: What it does.
            work: Gets the job, to show steps; returns plain values that JSON can hold. Progress that it reports becomes
                the job's.

        Raises:
            TooManyJobsError: Too many jobs are waiting.
        """
        with self._lock:
            if self._queue.qsize() >= WAITING:
                raise TooManyJobsError(f"{WAITING} jobs are waiting; stop one, or try again later.")
            job = Job(next(self._numbers), title)
            self._jobs[job.id] = job
            self._queue.put((job, work))
            while len(self._jobs) > KEPT + WAITING:
                over = next((each.id for each in self._jobs.values() if each.state in OVER), None)
                if over is None:
                    break
                del self._jobs[over]
        return job

    def find(self, number: int) -> Job | None:
        """A job by its number."""
        return self._jobs.get(number)

    def all(self) -> list[Job]:
        """The jobs that are remembered, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def cancel(self, job: Job) -> None:
        """Stop a job, as soon as it reports progress; one that waits never begins."""
        job.stop.set()
        if job.state == "waiting":
            job.state = "cancelled"
            job.version += 1

    def close(self) -> None:
        """Stop all jobs, and wait until the one that runs has noticed."""
        for job in self.all():
            self.cancel(job)
        self._queue.put(None)
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            job, work = item
            if job.state == "waiting":
                copy_context().run(self._run, job, work)

    @staticmethod
    def _run(job: Job, work: Callable[[Job], Any]) -> None:
        job.state = "running"
        job.version += 1
        try:
            with reporting_to(_JobSink(job)):
                job.result = work(job)
            job.state = "done"
        except Cancelled:
            job.state = "cancelled"
        except DeeptroublesError as error:
            job.state, job.error = "failed", str(error)
        except BaseException as error:  # noqa: BLE001 (whatever a job does, the server lives)
            _log.warning("job %s crashed", job.title, exc_info=True)
            job.state, job.error = (
                "failed",
                f"This is an internal error of deeptroubles: {type(error).__name__}: {error}",
            )
        job.version += 1


class _JobSink(Silent):
    """Progress of the work becomes progress of its job."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def stage(self, name: str, detail: str) -> None:
        self._job.task = f"{name}: {detail}"
        self._job.changed()

    def progress(self, task: str, done: int, total: int) -> None:
        self._job.task, self._job.done, self._job.total = task, done, total
        self._job.changed()
