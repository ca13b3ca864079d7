"""How an attacked image is shown: before, the change, after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.findings import GridItem, ImageGrid
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.subject import logits_of


def attacked_strips(
    recording: Recording, rows: Sequence[int], attacked: Sequence[NDArray[Any]], notes: Sequence[str]
) -> tuple[ImageGrid, ...]:
    """A strip for each image: as it is, the change (amplified to be seen), attacked; with both answers.

    Args:
        recording: The recording.
        rows: Rows of the images.
        attacked: The attacked images, 8 bits, C x H x W each.
        notes: What to say under each change.
    """
    subject, strips = recording.subject, []
    names = subject.classifier.class_names
    for row, changed, note in zip(rows, attacked, notes, strict=True):
        before = subject.pixels([row])[0].cpu().numpy()
        after = changed.astype(np.float32) / 255
        difference = after - before
        factor = int(np.clip(0.5 / max(np.abs(difference).max(), 1e-6), 1, 50))
        shares = logits_of(subject.classifier, torch.from_numpy(after)[None].to(subject.classifier.device)).softmax(1)[
            0
        ]
        was, now = int(recording.predicted[row]), int(shares.argmax())
        items = [
            GridItem(
                picture=picture(before, f"An image that is called {names[was]}"),
                caption=names[was],
                note=f"{recording.probabilities[row, was]:.1%}",
            ),
            GridItem(
                picture=picture(0.5 + factor * difference, f"The change, {factor} times as strong as it is"),
                caption=f"the change x {factor}",
                note=note,
            ),
            GridItem(
                picture=picture(after, f"The changed image, which is called {names[now]}"),
                caption=names[now],
                note=f"{float(shares[now]):.1%}",
            ),
        ]
        strips.append(ImageGrid(title=f"{names[was]}: before, the change, after", items=items, strip=True))
    return tuple(strips)
