"""reliance.occlusion_gain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.checks.limits import criterion, few, judge
from deeptroubles.checks.options import LABELS
from deeptroubles.checks.registry import check
from deeptroubles.checks.wording import percent, percent_interval
from deeptroubles.engine import Engine
from deeptroubles.findings import Curve, Estimate, Evidence, Finding, GridItem, Heatmap, Heatmaps, ImageGrid, Series
from deeptroubles.methods.attacks import occlusion_gain as method
from deeptroubles.methods.attribution.occlusion import hide
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import Subject, logits_of

WARN_AT, FAIL_AT = 0.10, 0.30
GAIN = 0.1
"""By how much the probability must rise for an image to count."""

STEPS = 3
SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class OcclusionGain:
    """What hiding does for the true class: its probability after 0, 1, ... hidden windows, N x (steps + 1)."""

    probability: NDArray[np.float64]
    turned: int
    stories: tuple[ImageGrid, ...]
    maps: tuple[Heatmap, ...]

    @property
    def share(self) -> Interval:
        """Share of images that gain from one hidden window."""
        gain = self.probability[:, 1] - self.probability[:, 0]
        return wilson(int((gain >= GAIN).sum()), len(gain))

    def findings(self) -> Iterable[Finding]:
        """One finding."""
        count, share = len(self.probability), self.share
        best = int(np.argmax(self.probability[:, -1] - self.probability[:, 0]))
        steps = " → ".join(f"{p:.2f}" for p in self.probability[best])
        rises = int((self.probability[:, 1] > self.probability[:, 0]).sum())
        yield Finding(
            check="reliance.occlusion_gain",
            verdict=judge(share, count, warn_at=WARN_AT, fail_at=FAIL_AT),
            severity=share.value,
            claim=f"Hiding one window makes it surer of the true class, by {percent(GAIN)} or more, on "
            f"{percent_interval(share)} of the images. The largest rise, hiding up to {STEPS} windows: {steps}.",
            criterion=criterion(
                f"the share of images whose true class gains {percent(GAIN)} or more by hiding one window",
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            evidence=self._evidence(),
            caveats=[
                *few(count),
                f"By any amount at all, the probability rises on {rises} of {count} images.",
                f"{self.turned} wrong answers become right within {STEPS} windows.",
                "What is hidden may be a second object that is really there; look at the pictures.",
                "The window that helps most is searched for, which favours images on which it hesitates.",
            ],
        )

    def _evidence(self) -> list[Evidence]:
        count, share = len(self.probability), self.share
        quantiles = np.quantile(self.probability, [0.25, 0.5, 0.75], axis=0)
        story = Series(
            name="median image (band: middle half)",
            x=[float(i) for i in range(STEPS + 1)],
            y=quantiles[1].tolist(),
            low=quantiles[0].tolist(),
            high=quantiles[2].tolist(),
        )
        evidence: list[Evidence] = [
            Estimate(
                label="Images that gain by hiding one window",
                value=share.value,
                low=share.low,
                high=share.high,
                n=count,
                warn_at=WARN_AT,
                fail_at=FAIL_AT,
            ),
            *self.stories,
        ]
        if self.maps:
            limit = max(abs(v) for m in self.maps for row in m.values for v in row if v is not None)
            evidence.append(
                Heatmaps(
                    title="What hiding each window does to the true class",
                    items=self.maps,
                    low=-limit,
                    high=limit,
                    diverging=True,
                    scale_label="change of probability",
                )
            )
        evidence.append(
            Curve(
                title="Hiding what speaks against the true class, window by window",
                x_label="windows hidden",
                y_label="probability of the true class",
                series=[story],
                y_range=(0.0, 1.0),
            )
        )
        return evidence


@check("reliance.occlusion_gain", needs=[LABELS])
def occlusion_gain(recording: Recording, engine: Engine, *, seed: int) -> OcclusionGain:
    """Does hiding a part of the image make it surer of the right class?

    What it asks:
        A grey window (a seventh of the image wide) is put everywhere in turn. Where does it raise the probability of
        the true class, and how far do the up to three windows that help most take it together?

    Why it matters:
        A classifier that looks at the object has nothing to gain from seeing less. Where it gains, the hidden part
        spoke for another class: something that usually comes with that class, and has nothing to do with this one.

    How to read it:
        The estimate is the share of images whose true class gains at least 10 % (of probability) by hiding one window.
        The strips tell the story of the images that gain most, step by step; the maps show the change for every
        window: hiding helps where the map is warm, and hurts where it is cold.

    Limits:
        The hidden part can be a second object of another class, which is no trouble. The best of many windows is
        taken, so that an image on which the classifier hesitates gains easily. A grey square is itself something the
        classifier has not seen in training.

    References:
        M. D. Zeiler, R. Fergus, Visualizing and understanding convolutional networks, ECCV 2014.
    """
    subject, rows = recording.subject, recording.labelled
    found = engine.map(_hide, subject, rows, task="Hiding what helps", chunk=2)
    probability = found["probability"].astype(np.float64).round(6)  # single precision knows no more
    was_wrong = recording.predicted[rows] != recording.targets[rows]
    order = np.argsort(probability[:, 0] - probability[:, -1], kind="stable")
    gaining = [int(i) for i in order[:SHOWN] if probability[i, 1] > probability[i, 0]]
    return OcclusionGain(
        probability=probability,
        turned=int((found["right"] & was_wrong).sum()),
        stories=tuple(_story(recording, int(rows[i]), found["windows"][i], probability[i]) for i in gaining),
        maps=tuple(_map(recording, int(rows[i]), found["first"][i], probability[i, 0]) for i in gaining),
    )


def _hide(subject: Subject, indices: Sequence[int], batch_size: int) -> dict[str, NDArray[Any]]:
    targets = torch.from_numpy(subject.targets[indices]).to(subject.classifier.device)
    gain = method.occlusion_gain(
        subject.classifier, subject.pixels(indices), targets, steps=STEPS, batch_size=batch_size
    )
    right = logits_of(subject.classifier, gain.images, batch_size).argmax(1) == targets
    return {
        "probability": gain.probability.cpu().numpy(),
        "first": gain.first.cpu().numpy(),
        "windows": gain.windows.cpu().numpy(),
        "right": right.cpu().numpy(),
    }


def _story(recording: Recording, row: int, windows: NDArray[Any], probability: NDArray[Any]) -> ImageGrid:
    """One image, step by step."""
    image, cover = recording.subject.pixels([row])[0], recording.subject.classifier.mean[0]
    name = recording.subject.classifier.class_names[recording.targets[row]]
    clean = picture(image.cpu().numpy(), f"An image of class {name}")
    items = [GridItem(picture=clean, caption=f"{probability[0]:.2f}", note="as it is")]
    for step, box in enumerate(windows):
        if not box.any():
            break
        image = hide(image, torch.from_numpy(box)[None], cover)[0]
        shown = picture(image.cpu().numpy(), f"The same image with {step + 1} window(s) hidden")
        items.append(GridItem(picture=shown, caption=f"{probability[step + 1]:.2f}", note=f"{step + 1} hidden"))
    return ImageGrid(title=f"{name}: probability of the true class, step by step", items=items, strip=True)


def _map(recording: Recording, row: int, first: NDArray[Any], clean: float) -> Heatmap:
    name = recording.subject.classifier.class_names[recording.targets[row]]
    change = first.astype(np.float64) - clean
    top, left = np.unravel_index(int(change.argmax()), change.shape)
    pixels = recording.subject.pixels([row])[0].cpu().numpy()
    return Heatmap(
        values=np.round(change, 4).tolist(),
        caption=name,
        alt=f"Hiding helps {name} most, by {percent(change.max())}, in row {top + 1}, column {left + 1} of the windows",
        picture=picture(pixels, f"An image of class {name}"),
    )
