"""Examples of attacked images: before, the change, after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deeptroubles.engine import Arrays, Engine
from deeptroubles.findings import GridItem, ImageGrid
from deeptroubles.pictures import picture
from deeptroubles.recording import Recording
from deeptroubles.subject import Subject, logits_of


def attacked_examples(
    recording: Recording, engine: Engine, rows: Sequence[int], attacked: Sequence[NDArray[Any]], notes: Sequence[str]
) -> tuple[ImageGrid, ...]:
    """A strip for each image: unchanged, the change (amplified), and attacked, with both predictions.

    Args:
        recording: The recording.
        engine: What predicts the attacked images.
        rows: Rows of the images.
        attacked: The attacked images, 8 bits, C x H x W each.
        notes: A note for each change.
    """
    subject, strips = recording.subject, []
    names = subject.classifier.class_names
    if not rows:
        return ()
    pixels = [image.tolist() for image in attacked]
    shares = engine.once(_predict, subject, task="Predicting attacked images", images=pixels)["probability"]
    for row, changed, share, note in zip(rows, attacked, shares, notes, strict=True):
        before = subject.pixels([row])[0].cpu().numpy()
        after = changed.astype(np.float32) / 255
        difference = after - before
        factor = int(np.clip(0.5 / max(np.abs(difference).max(), 1e-6), 1, 50))
        was, now = int(recording.predicted[row]), int(share.argmax())
        items = [
            GridItem(
                picture=picture(before, f"An image predicted as {names[was]}", row),
                caption=names[was],
                note=f"{recording.probabilities[row, was]:.1%}",
            ),
            GridItem(
                picture=picture(0.5 + factor * difference, f"The change, amplified {factor} times"),
                caption=f"the change x {factor}",
                note=note,
            ),
            GridItem(
                picture=picture(after, f"The changed image, predicted as {names[now]}"),
                caption=names[now],
                note=f"{float(share[now]):.1%}",
            ),
        ]
        strips.append(ImageGrid(title=f"{names[was]}: before, the change, after", items=items, strip=True))
    return tuple(strips)


def _predict(subject: Subject, batch_size: int, images: list[Any]) -> Arrays:
    """Probabilities of 8-bit images, one by one, so that the numbers do not depend on how many there are."""
    classifier = subject.classifier
    pixels = torch.tensor(images, dtype=torch.float32, device=classifier.device) / 255
    return {"probability": torch.cat([logits_of(classifier, one[None]).softmax(1) for one in pixels]).cpu().numpy()}
