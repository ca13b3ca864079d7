"""performance.preprocessing: are the pixels scaled as in training?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, plural, points, points_interval
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Cell, Column, Finding, Table, Verdict
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, mean_difference
from deeptroubles.subject import Subject, logits_of

MAX_IMAGES = 200
LIMITS = Limits(
    "the accuracy gained with the best other usual scaling of the pixels",
    warn_at=0.02,
    fail_at=0.10,
    note="The interval is corrected for the number of scalings tried. The thresholds are conventions.",
    show=points,
)
_IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
_CAFFE = torch.tensor([103.939, 116.779, 123.68])
_ADVICE = {
    "ImageNet's mean and std": "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
    "MNIST's mean and std": "--mean 0.1307 --std 0.3081",
    "values from -1 to 1": "--mean 0.5 --std 0.5",
    "values from 0 to 1": "no --mean and no --std",
    "values from 0 to 255": "--mean 0 --std 0.00392157",
    "blue first (BGR)": "a module that turns the channels around: model(x.flip(1))",
    "Caffe's (0 to 255, blue first, minus the mean)": "a module that turns the channels around, scales and subtracts",
    "black and white exchanged": "a module that inverts: model(1 - x)",
}
"""What to give for each scaling: options of the command line, or what no option can do."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Whether predictions are correct (N, bool) with the given scaling, and with each other one, by its name."""

    given: NDArray[np.bool_]
    others: dict[str, NDArray[np.bool_]]

    def gain(self, name: str) -> Interval:
        """The accuracy with another scaling minus that as given, paired; all together hold at 95%."""
        return mean_difference(self.others[name].astype(float) - self.given, 1 - 0.05 / len(self.others))

    @property
    def best(self) -> str:
        """The scaling with the highest accuracy."""
        return max(self.others, key=lambda name: float(self.others[name].mean()))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        gain, images = self.gain(self.best), len(self.given)
        verdict = LIMITS.verdict(gain, images)
        accuracy, given = percent(self.others[self.best].mean()), percent(self.given.mean())
        if verdict in {Verdict.FAIL, Verdict.WARN}:
            claim = (
                f"The pixels are probably not scaled as in training: with {self.best}, accuracy is {accuracy} instead "
                f"of {given}, a gain of {points_interval(gain)}. Give {_ADVICE[self.best]}, and audit again: all other "
                "findings are about a network that sees wrong pixels."
            )
        else:
            claim = (
                f"Accuracy is {given} with the pixels scaled as given and {accuracy} with the best other usual scaling "
                f"({self.best}), a difference of {points_interval(gain)}."
            )
        yield Finding(
            check="performance.preprocessing",
            verdict=verdict,
            priority=3,
            severity=float(np.clip(gain.value, 0, 1)),
            claim=claim,
            criterion=LIMITS.criterion,
            evidence=[LIMITS.estimate("Accuracy gained", gain, images), self._table()],
            caveats=[*few(images), "A network that was trained with another scaling than those tried is not noticed."],
        )

    def _table(self) -> Table:
        columns = [
            Column(name="scaling"),
            Column(name="accuracy", kind="share"),
            Column(name="minus accuracy as given", kind="share"),
            Column(name="95% CI (all together)", kind="interval"),
        ]
        rows: list[list[Cell]] = [["as given", float(self.given.mean()), None, None]]
        for name in sorted(self.others, key=lambda name: -float(self.others[name].mean())):
            gain = self.gain(name)
            rows.append([name, float(self.others[name].mean()), gain.value, [gain.low, gain.high]])
        return Table(title=f"Accuracy on {plural(len(self.given), 'image')}", columns=columns, rows=rows)


@check("performance.preprocessing", needs=[LABELS])
def preprocessing(recording: Recording, engine: Engine, *, seed: int) -> Preprocessing:
    """Are the pixels scaled as in training?

    What it asks:
        How accurate the network is on up to 200 labelled images if their pixels are scaled in another usual way: with
        the mean and standard deviation of ImageNet (of MNIST for one channel), to -1 to 1, 0 to 1 or 0 to 255, with
        blue as the first channel, as Caffe does it, or with black and white exchanged (one channel).

    Why it matters:
        Mean and standard deviation are not part of most modules, and are easily forgotten. Nothing crashes then, but
        the audit reports problems of the network that are problems of its input.

    How to read it:
        The estimate is the accuracy with the best other scaling minus that with the given one, paired by image. If it
        fails, give what the claim says and repeat the audit.

    Limits:
        Only usual scalings are tried, and neither other sizes nor other crops. Networks that were trained to ignore
        brightness and contrast are accurate with several of them. Where the predictions decide what the labels mean,
        they do so with the given scaling.

    References:
        Each scaling is that of published weights: torchvision (ImageNet), TensorFlow's Inception (-1 to 1), and
        K. Simonyan, A. Zisserman, Very deep convolutional networks for large-scale image recognition, ICLR 2015
        (Caffe).
    """
    rows = recording.labelled
    if len(rows) > MAX_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_IMAGES, replace=False))
    right = engine.map(_right, recording.subject, rows, task="Trying other scalings of the pixels")
    return Preprocessing(given=right.pop("given"), others=right)


def _right(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Whether the prediction for each image is correct, with the given scaling and with each other one."""
    pixels, targets = subject.pixels(indices), subject.targets[np.asarray(indices)]

    def right(seen: Tensor) -> NDArray[np.bool_]:
        return np.asarray(logits_of(subject.classifier, seen, batch_size).argmax(1).cpu() == torch.from_numpy(targets))

    mean, std = subject.classifier.mean, subject.classifier.std

    def rescaled(scale: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Undoes that the classifier subtracts its mean and divides by its std: the module sees `scale(values)`."""
        return scale(values) * std + mean

    black_and_white = torch.tensor([0.0, 1.0]).expand(1, pixels.shape[1], 1, 2).to(pixels)
    others = {
        name: right(rescaled(scale, pixels))
        for name, scale in _scalings(pixels.shape[1]).items()
        if not torch.allclose(rescaled(scale, black_and_white), black_and_white, atol=1e-3)  # it is the given one
    }
    if pixels.shape[1] == 3:
        others["blue first (BGR)"] = right(pixels.flip(1))
    return {"given": right(pixels)} | others


def _scalings(channels: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """Usual ways from pixels in [0, 1] to what a module takes, for its number of channels."""
    usual: dict[str, Callable[[Tensor], Tensor]] = {
        "values from -1 to 1": lambda pixels: 2 * pixels - 1,
        "values from 0 to 1": lambda pixels: pixels,
        "values from 0 to 255": lambda pixels: 255 * pixels,
    }
    if channels == 1:
        return usual | {
            "MNIST's mean and std": lambda pixels: (pixels - 0.1307) / 0.3081,
            "black and white exchanged": lambda pixels: 1 - pixels,
        }
    mean, std = _IMAGENET[:, :, None, None]
    caffe = _CAFFE[:, None, None]
    return usual | {
        "ImageNet's mean and std": lambda pixels: (pixels - mean.to(pixels)) / std.to(pixels),
        "Caffe's (0 to 255, blue first, minus the mean)": lambda pixels: 255 * pixels.flip(1) - caffe.to(pixels),
    }
