"""Run a program of steps: on changed rectangles up to a cut, on whole feature maps from there on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from deeptroubles.network.incremental.program import Program
from deeptroubles.network.incremental.rectangles import Clean, Local, Rectangle
from deeptroubles.network.incremental.steps import GlobalMean, LocalStep, Step

WIDE = 0.6
"""By rule of thumb, a rectangle that covers this share of a feature map is not worth it any more."""


class Runner:
    """A program, and the activations of one image without edits."""

    def __init__(self, program: Program, image: Tensor) -> None:
        self.program = program
        self.pixels = Clean(image.contiguous(memory_format=torch.channels_last))
        self._clean = {program.pixels: self.pixels}
        values: dict[fx.Node, Any] = {program.pixels: self.pixels.values, **dict.fromkeys(program.batch, 1)}
        for i, step in enumerate(program.steps):
            values[step.node] = step.dense(*(values[n] for n in step.inputs))
            if isinstance(step, LocalStep) and all(n in self._clean for n in step.inputs):
                self._clean[step.node] = Clean(values[step.node])
            _forget(values, step, program, i)

    def run(self, start: Local, cut: int, clock: Clock | None = None) -> Tensor:
        """The logits of some edited images. `cut` is the index of the first step that is computed whole."""
        program = self.program
        count = len(start.values)
        values: dict[fx.Node, Any] = {program.pixels: start, **dict.fromkeys(program.batch, count)}
        for i, step in enumerate(program.steps):
            began = clock.now() if clock else 0.0
            values[step.node] = self._step(step, [values[n] for n in step.inputs], whole=i >= cut)
            if clock:
                clock.note(values[step.node], began)
            _forget(values, step, program, i)
        logits: Tensor = values[program.logits]
        return logits

    def _step(self, step: Step, inputs: list[Any], *, whole: bool) -> Any:
        if not whole and inputs and all(isinstance(value, Local) for value in inputs):
            if isinstance(step, LocalStep):
                rectangle = step.rectangle([value.rectangle for value in inputs])
                return Local(step.local(inputs, rectangle), rectangle, self._clean[step.node])
            if isinstance(step, GlobalMean):
                return step.moved(inputs[0])
        return step.dense(*(value.full() if isinstance(value, Local) else value for value in inputs))


@dataclass
class Clock:
    """What each step takes, and what it takes to write its result out as a whole."""

    device: torch.device

    def __post_init__(self) -> None:
        self.steps: list[float] = []
        self.writing: list[float] = []
        self.covered: list[float] = []

    def now(self) -> float:
        """In seconds, when all that was asked for is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def note(self, value: Any, began: float) -> None:
        """A step has ended."""
        self.steps.append(self.now() - began)
        covered, writing = 1.0, 0.0
        if isinstance(value, Local):
            (rows, columns), clean = value.rectangle, value.clean
            covered = rows.size * columns.size / (clean.height * clean.width)
            began = self.now()
            value.full()
            writing = self.now() - began
            value.forget()
        self.covered.append(covered)
        self.writing.append(writing)


def best_cut(runner: Runner, start: Local) -> int:
    """The cut with which these edits take the least time: each step is timed both ways."""
    clocks = []
    for cut in (0, len(runner.program.steps)):
        runs = [Clock(start.values.device) for _ in range(2)]
        for clock in runs:
            start.forget()
            runner.run(start, cut, clock)
        clocks.append(runs)
    whole, local = ([min(pair) for pair in zip(*(c.steps for c in runs), strict=True)] for runs in clocks)
    writing = [min(pair) for pair in zip(*(c.writing for c in clocks[1]), strict=True)]
    place = {step.node: i for i, step in enumerate(runner.program.steps)}

    def cost(cut: int) -> float:
        alive = (place[n] for n, last in runner.program.last_use.items() if n in place and place[n] < cut <= last)
        return float(sum(local[:cut]) + sum(whole[cut:]) + sum(writing[i] for i in alive))

    return min(range(len(whole) + 1), key=cost)


def growth(program: Program, start: Rectangle) -> Iterator[tuple[int, Rectangle]]:
    """The steps that can be computed on rectangles, by their index, and what has changed after each of them."""
    rectangles = {program.pixels: start}
    for i, step in enumerate(program.steps):
        if isinstance(step, LocalStep) and all(n in rectangles for n in step.inputs):
            rectangles[step.node] = step.rectangle([rectangles[n] for n in step.inputs])
            yield i, rectangles[step.node]


def first_wide(program: Program, start: Rectangle) -> int:
    """The first step whose output has changed for the most part."""
    for i, (rows, columns) in growth(program, start):
        if rows.size * columns.size > WIDE * rows.length * columns.length:
            return i
    return len(program.steps)


def alike(program: Program, start: Rectangle, cut: int) -> Tensor:
    """An order of the edits in which those are neighbours that change equally large rectangles before the cut."""
    last = start
    for i, rectangle in growth(program, start):
        last = rectangle if i < cut else last
    rows, columns = (np.maximum(span.high - span.low, 0) for span in last)
    return torch.from_numpy(np.lexsort((columns, rows)))


def _forget(values: dict[fx.Node, Any], step: Step, program: Program, index: int) -> None:
    for node in step.inputs:
        if program.last_use[node] == index and node is not program.logits:
            values.pop(node, None)
