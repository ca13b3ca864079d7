"""Jobs: what runs in the background, watched as it goes, and a way to stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.sse import EventSourceResponse

from deeptroubles.serving.jobs import OVER, Job, Jobs, State
from deeptroubles.serving.workbench import Workbench

EVERY = 0.1
"""Seconds between two looks at a job that is watched."""


@dataclass(frozen=True, kw_only=True)
class JobFacts:
    """A job; see `deeptroubles.serving.jobs.Job`."""

    id: int
    title: str
    state: State
    task: str
    done: int
    total: int
    step: Any
    result: Any
    error: str


def facts_of(job: Job) -> JobFacts:
    """A job as the page gets it."""
    return JobFacts(
        id=job.id,
        title=job.title,
        state=job.state,
        task=job.task,
        done=job.done,
        total=job.total,
        step=job.step,
        result=job.result,
        error=job.error,
    )


def exported(_bench: Workbench) -> Iterator[str]:
    """Nothing: a static copy runs no jobs."""
    yield from ()


def router(_bench: Workbench, jobs: Jobs) -> APIRouter:
    """Addresses of jobs."""
    at = APIRouter(prefix="/jobs", tags=["jobs"])

    def found(number: int) -> Job:
        job = jobs.find(number)
        if job is None:
            raise HTTPException(404, "There is no such job; it may have been over for long.")
        return job

    @at.get("")
    def all_jobs() -> list[JobFacts]:
        """The jobs that are remembered, the newest first, without what they showed and gave."""
        return [facts_of(Job(**{**vars(job), "step": None, "result": None})) for job in jobs.all()]

    @at.get("/{number}")
    def one_job(number: int) -> JobFacts:
        """One job."""
        return facts_of(found(number))

    @at.get("/{number}/events", response_class=EventSourceResponse)
    async def watch(number: int) -> AsyncIterator[JobFacts]:
        """The job whenever it changes, until it is over."""
        job, seen = found(number), -1
        while True:
            if job.version != seen:
                seen = job.version
                yield facts_of(job)
                if job.state in OVER:
                    return
            await asyncio.sleep(EVERY)

    @at.delete("/{number}")
    def cancel(number: int) -> JobFacts:
        """Stop a job."""
        job = found(number)
        jobs.cancel(job)
        return facts_of(job)

    return at
