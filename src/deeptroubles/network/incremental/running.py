"""Run a program: on changed rectangles up to a cut, on whole feature maps from there on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from deeptroubles.network.incremental.program import Program
from deeptroubles.network.incremental.rectangles import CleanMap, EditedMap, Rectangle
from deeptroubles.network.incremental.steps import GlobalMean, LocalStep, Step

MAX_COVERAGE = 0.6
"""By rule of thumb, a rectangle that covers more than this share of a feature map is slower than the whole map."""


class Runner:
    """A program, and the activations of the unedited image."""

    def __init__(self, program: Program, image: Tensor) -> None:
        self.program = program
        self.pixels = CleanMap(image.contiguous(memory_format=torch.channels_last))
        self._clean = {program.pixels: self.pixels}
        values: dict[fx.Node, Any] = {program.pixels: self.pixels.values, **dict.fromkeys(program.batch, 1)}
        for i, step in enumerate(program.steps):
            values[step.node] = step.dense(*(values[n] for n in step.inputs))
            if isinstance(step, LocalStep) and all(n in self._clean for n in step.inputs):
                self._clean[step.node] = CleanMap(values[step.node])
            _forget(values, step, program, i)

    def run(self, start: EditedMap, cut: int, clock: Clock | None = None) -> Tensor:
        """The logits of edited images. `cut` is the index of the first step that computes whole feature maps."""
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
        if not whole and inputs and all(isinstance(value, EditedMap) for value in inputs):
            if isinstance(step, LocalStep):
                rectangle = step.rectangle([value.rectangle for value in inputs])
                return EditedMap(step.local(inputs, rectangle), rectangle, self._clean[step.node])
            if isinstance(step, GlobalMean):
                return step.updated(inputs[0])
        return step.dense(*(value.full() if isinstance(value, EditedMap) else value for value in inputs))


@dataclass
class Clock:
    """The time of each step, and the time to expand its result to whole feature maps."""

    device: torch.device

    def __post_init__(self) -> None:
        self.steps: list[float] = []
        self.expanding: list[float] = []
        self.covered: list[float] = []

    def now(self) -> float:
        """The time in seconds, after all pending work of the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def note(self, value: Any, began: float) -> None:
        """Record a step that has ended."""
        self.steps.append(self.now() - began)
        covered, expanding = 1.0, 0.0
        if isinstance(value, EditedMap):
            (rows, columns), clean = value.rectangle, value.clean
            covered = rows.size * columns.size / (clean.height * clean.width)
            began = self.now()
            value.full()
            expanding = self.now() - began
            value.forget()
        self.covered.append(covered)
        self.expanding.append(expanding)


def fastest_cut(runner: Runner, start: EditedMap) -> int:
    """The fastest cut for these edits: each step is timed on rectangles and on whole feature maps."""
    clocks = []
    for cut in (0, len(runner.program.steps)):
        runs = [Clock(start.values.device) for _ in range(2)]
        for clock in runs:
            start.forget()
            runner.run(start, cut, clock)
        clocks.append(runs)
    whole, local = ([min(pair) for pair in zip(*(c.steps for c in runs), strict=True)] for runs in clocks)
    expanding = [min(pair) for pair in zip(*(c.expanding for c in clocks[1]), strict=True)]
    place = {step.node: i for i, step in enumerate(runner.program.steps)}

    def cost(cut: int) -> float:
        alive = (place[n] for n, last in runner.program.last_use.items() if n in place and place[n] < cut <= last)
        return float(sum(local[:cut]) + sum(whole[cut:]) + sum(expanding[i] for i in alive))

    return min(range(len(whole) + 1), key=cost)


def changed_rectangles(program: Program, start: Rectangle) -> Iterator[tuple[int, Rectangle]]:
    """The indices of the steps that can be computed on rectangles, with the changed rectangle after each."""
    rectangles = {program.pixels: start}
    for i, step in enumerate(program.steps):
        if isinstance(step, LocalStep) and all(n in rectangles for n in step.inputs):
            rectangles[step.node] = step.rectangle([rectangles[n] for n in step.inputs])
            yield i, rectangles[step.node]


def first_mostly_changed(program: Program, start: Rectangle) -> int:
    """The first step whose output changes by more than MAX_COVERAGE."""
    for i, (rows, columns) in changed_rectangles(program, start):
        if rows.size * columns.size > MAX_COVERAGE * rows.length * columns.length:
            return i
    return len(program.steps)


def order_by_size(program: Program, start: Rectangle, cut: int) -> Tensor:
    """An order of the edits by the size of the rectangle that they change before the cut."""
    last = start
    for i, rectangle in changed_rectangles(program, start):
        last = rectangle if i < cut else last
    rows, columns = (np.maximum(span.high - span.low, 0) for span in last)
    return torch.from_numpy(np.lexsort((columns, rows)))


def _forget(values: dict[fx.Node, Any], step: Step, program: Program, index: int) -> None:
    for node in step.inputs:
        if program.last_use[node] == index and node is not program.logits:
            values.pop(node, None)
