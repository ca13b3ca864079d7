"""Jobs: what stops, stops; what waits is bounded; the server ends in time."""

from __future__ import annotations

import threading
import time

import pytest

from deeptroubles.serving import jobs as module
from deeptroubles.serving.jobs import WAITING, Jobs, TooManyJobsError


@pytest.fixture
def busy():
    """Jobs of which one runs until it is let go, whoever presses stop."""
    jobs, begun, let_go = Jobs(), threading.Event(), threading.Event()

    def work(_job):
        begun.set()
        let_go.wait(20)

    jobs.start("busy", work)
    assert begun.wait(5)
    yield jobs
    let_go.set()


def test_only_so_many_jobs_wait(busy):
    for _ in range(WAITING):
        busy.start("waits", lambda _job: None)
    with pytest.raises(TooManyJobsError, match="try again later"):
        busy.start("one more", lambda _job: None)
    assert [job.title for job in busy.all()] == ["waits"] * WAITING + ["busy"]


def test_closing_takes_no_longer_than_its_patience_where_many_wait(busy, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    for _ in range(WAITING):
        busy.start("waits", lambda _job: None)
    closing = threading.Thread(target=busy.close, daemon=True)
    closing.start()
    closing.join(5)
    assert not closing.is_alive()


def test_a_job_that_is_stopped_as_it_begins_stops():
    """Whoever presses stop saw it waiting, but it has begun meanwhile."""
    jobs, begun, stopped = Jobs(), threading.Event(), threading.Event()

    def work(job):
        begun.set()
        assert stopped.wait(5)
        job.changed()

    job = jobs.start("work", work)
    assert begun.wait(5)
    job.stop.set()
    job.state = "cancelled"  # as `cancel` does for a job that waits
    stopped.set()
    for _ in range(100):
        time.sleep(0.02)
        if job.version > 2:
            break
    jobs.close()
    assert job.state == "cancelled"
