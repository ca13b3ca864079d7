"""reliance.occlusion_gain: does hiding a part of the image raise the probability of the true class?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.limits import Limits, few
from deeptroubles.checks.looks import Looks, look
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent_interval, plural, points
from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import Curve, Evidence, Finding, GridItem, Heatmap, Heatmaps, ImageGrid, Series
from deeptroubles.methods.attacks import occlusion_gain as method
from deeptroubles.methods.attribution.occlusion import hide
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval
from deeptroubles.subject import Subject, logits_of

GAIN = 0.1
"""How much the probability must rise for an image to count."""
LIMITS = Limits(
    f"the share of images whose true class gains {points(GAIN)} of probability or more when one window is hidden",
    warn_at=0.1,
    fail_at=0.3,
)
STEPS = 3
CONTINUED = 32
"""More windows are hidden in this many images, those that gain most from one hidden window."""
EXAMPLES_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class OcclusionGain:
    """How much hiding windows raises the probability of the true class.

    Attributes:
        looks: What was looked at, with the probabilities of each image as it is and with one window hidden.
        probability: After hiding 0, 1, ... windows, M x (steps + 1), of the images that gain most from one window.
        corrected: How many wrong predictions of these images become correct.
        examples: The first of them, step by step.
        maps: The change for every window in the same images.
    """

    looks: Looks
    probability: NDArray[np.float64]
    corrected: int
    examples: tuple[ImageGrid, ...]
    maps: tuple[Heatmap, ...]

    @property
    def share(self) -> Interval:
        """Share of images that gain from one hidden window."""
        return _share(self.looks)

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.looks.rows), self.share
        best = int(np.argmax(self.probability[:, -1] - self.probability[:, 0]))
        steps = " → ".join(f"{p:.2f}" for p in self.probability[best])
        rises = int((_rises(self.looks) > 0).sum())
        yield Finding(
            check="reliance.occlusion_gain",
            verdict=self.looks.verdict(LIMITS, share),
            severity=share.value,
            claim=f"Hiding one window raises the probability of the true class by {points(GAIN)} or more on "
            f"{percent_interval(share)} of images (largest rise with up to {STEPS} windows: {steps}).",
            criterion=LIMITS.criterion,
            evidence=self._evidence(),
            caveats=[
                *few(count),
                *self.looks.caveats,
                f"The probability rises by any amount on {rises} of {plural(count, 'image')}.",
                (
                    f"Hiding up to {STEPS} windows corrects the prediction on {self.corrected} of the "
                    f"{plural(len(self.probability), 'image')} that gain most."
                ),
                "The hidden part may be a second object, which is no problem; look at the examples.",
                "The best of many windows is chosen, so images with low confidence gain more easily.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        quantiles = np.quantile(self.probability, [0.25, 0.5, 0.75], axis=0)
        median = Series(
            name="median image (band: middle half)",
            x=[float(i) for i in range(STEPS + 1)],
            y=quantiles[1].tolist(),
            low=quantiles[0].tolist(),
            high=quantiles[2].tolist(),
        )
        evidence: list[Evidence] = [
            LIMITS.estimate(
                "Images whose true class gains when one window is hidden", self.share, len(self.looks.rows)
            ),
            *self.examples,
        ]
        if self.maps:
            limit = max(abs(v) for m in self.maps for row in m.values for v in row if v is not None)
            evidence.append(
                Heatmaps(
                    title="Change in the probability of the true class when each window is hidden",
                    items=self.maps,
                    low=-limit,
                    high=limit,
                    diverging=True,
                    scale_label="change of probability",
                )
            )
        evidence.append(
            Curve(
                title=f"Probability of the true class as windows are hidden, best first, in the "
                f"{plural(len(self.probability), 'image')} that gain most",
                x_label="windows hidden",
                y_label="probability of the true class",
                series=[median],
                y_range=(0.0, 1.0),
            )
        )
        return evidence


@check("reliance.occlusion_gain", needs=[LABELS])
def occlusion_gain(recording: Recording, engine: Engine, *, seed: int) -> OcclusionGain:
    """Does hiding a part of the image raise the probability of the true class?

    What it asks:
        A gray window (a seventh of the image wide) hides each part of the image in turn. Where does it raise the
        probability of the true class, and how far do up to three windows that help most raise it together?

    Why it matters:
        A classifier that relies on the object gains nothing from seeing less. Where it gains, the hidden part was
        evidence for another class: often something that usually occurs with that class.

    How to read it:
        The estimate is the share of images whose true class gains at least 10 points of probability when one window is
        hidden. The strips show the images that gain most, step by step; the maps show the change for every window:
        hiding helps where the map is warm, and hurts where it is cold.

    Limits:
        The hidden part can be a second object of another class, which is not a problem. The best of many windows is
        chosen, so images with low confidence gain easily. A gray square is itself out-of-distribution.

    References:
        M. D. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.
    """
    looks = look(
        recording,
        engine,
        _hide,
        recording.labelled,
        judge=_share,
        limits=LIMITS,
        views=_windows(recording.subject.classifier.size),
        task="Hiding windows",
        seed=seed,
        chunk=2,
        steps=1,
    )
    rows = looks.rows[np.argsort(-_rises(looks), kind="stable")[:CONTINUED]]
    found = engine.map(_hide, recording.subject, rows, task="Hiding more windows", chunk=2, steps=STEPS)
    probability = _rounded(found["probability"])
    was_wrong = recording.predicted[rows] != recording.targets[rows]
    order = np.argsort(probability[:, 0] - probability[:, -1], kind="stable")
    gaining = [int(i) for i in order[:EXAMPLES_SHOWN] if probability[i, 1] > probability[i, 0]]
    return OcclusionGain(
        looks=looks,
        probability=probability,
        corrected=int((found["right"] & was_wrong).sum()),
        examples=tuple(_example(recording, int(rows[i]), found["windows"][i], probability[i]) for i in gaining),
        maps=tuple(_map(recording, int(rows[i]), found["first"][i], probability[i, 0]) for i in gaining),
    )


def _windows(size: tuple[int, int]) -> int:
    """How many windows, a seventh of the shorter side wide, tile an image."""
    side = max(1, min(size) // 7)
    return -(-size[0] // side) * -(-size[1] // side)


def _rounded(probability: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rounded to what single precision can hold."""
    return probability.astype(np.float64).round(6)


def _rises(looks: Looks) -> NDArray[np.float64]:
    """By how much one hidden window raises the probability of each image."""
    probability = _rounded(looks.found["probability"])
    return np.asarray(probability[:, 1] - probability[:, 0])


def _share(looks: Looks) -> Interval:
    """The share of images of which one hidden window raises the probability by GAIN."""
    return looks.mean_share(_rises(looks) >= GAIN)


def _hide(subject: Subject, indices: Sequence[int], batch_size: int, steps: int) -> Arrays:
    targets = torch.from_numpy(subject.targets[indices]).to(subject.classifier.device)
    gain = method.occlusion_gain(
        subject.classifier, subject.pixels(indices), targets, steps=steps, batch_size=batch_size
    )
    right = logits_of(subject.classifier, gain.images, batch_size).argmax(1) == targets
    return {
        "probability": gain.probability.cpu().numpy(),
        "first": gain.first.cpu().numpy(),
        "windows": gain.windows.cpu().numpy(),
        "right": right.cpu().numpy(),
    }


def _example(recording: Recording, row: int, windows: NDArray[Any], probability: NDArray[Any]) -> ImageGrid:
    """One image, step by step."""
    image, cover = recording.subject.pixels([row])[0], recording.subject.classifier.mean[0]
    name = recording.subject.classifier.class_names[recording.targets[row]]
    clean = picture(image.cpu().numpy(), f"An image of class {name}", row)
    items = [GridItem(picture=clean, caption=f"{probability[0]:.2f}", note="unchanged")]
    for step, box in enumerate(windows):
        if not box.any():
            break
        image = hide(image, torch.from_numpy(box)[None], cover)[0]
        shown = picture(image.cpu().numpy(), f"The same image with {plural(step + 1, 'window')} hidden")
        items.append(GridItem(picture=shown, caption=f"{probability[step + 1]:.2f}", note=f"{step + 1} hidden"))
    return ImageGrid(title=f"{name}: probability of the true class as windows are hidden", items=items, strip=True)


def _map(recording: Recording, row: int, first: NDArray[Any], clean: float) -> Heatmap:
    name = recording.subject.classifier.class_names[recording.targets[row]]
    change = first.astype(np.float64) - clean
    top, left = np.unravel_index(int(change.argmax()), change.shape)
    pixels = recording.subject.pixels([row])[0].cpu().numpy()
    return Heatmap(
        values=np.round(change, 4).tolist(),
        caption=name,
        alt=f"Hiding helps {name} most, by {points(change.max())}, in row {top + 1}, column {left + 1} of the windows",
        picture=picture(pixels, f"An image of class {name}", row),
    )
