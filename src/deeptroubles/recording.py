"""The recording: the one pass over the images that every check reads from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine
from deeptroubles.errors import ImagesError, ModelError, UnreadableImageError
from deeptroubles.findings import Unreadable
from deeptroubles.images import ImageSet
from deeptroubles.images.labels import LabelMatch, match_labels
from deeptroubles.subject import Subject, logits_of


@dataclass(frozen=True, repr=False)
class Recording(Brief):
    """What the classifier predicts for each image that could be read.

    Attributes:
        subject: The classifier and the readable images, in the order of the rows below.
        logits: N x K.
        unreadable: The images that were left out, with the reason.
        labels: How the images' labels were matched to the classes.
        masked: The rows with a mask of the object that can be used.
        cue_masked: The rows with a usable mask of a cue that should not matter.
        unusable_masks: The masks of both kinds that cannot be used, with the reason.
        options: What the user gave for the checks, by option; see `deeptroubles.checks.options`.
    """

    subject: Subject
    logits: NDArray[np.float32]
    unreadable: tuple[Unreadable, ...]
    labels: LabelMatch
    masked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    cue_masked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unusable_masks: tuple[Unreadable, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def targets(self) -> NDArray[np.int64]:
        """The true class of each image as an index, -1 where it is not known. N."""
        return self.subject.targets

    @cached_property
    def labelled(self) -> NDArray[np.int64]:
        """The rows whose true class is known."""
        return np.flatnonzero(self.targets >= 0)

    def sample(self, size: int) -> NDArray[np.int64]:
        """Rows of at most `size` images, at equal distances."""
        count = len(self.logits)
        return np.unique(np.linspace(0, count - 1, min(count, size)).astype(np.int64))

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class with the highest logit. N."""
        return np.asarray(self.logits.argmax(1), dtype=np.int64)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits. N x K."""
        return np.asarray(softmax(self.logits.astype(np.float64), axis=1))


def record(
    classifier: Classifier, images: ImageSet, engine: Engine, options: Mapping[str, Any] | None = None
) -> Recording:
    """Run the classifier once on every image. `options` is what the user gave for the checks.

    Raises:
        ImagesError: No image could be read.
        ModelError: The classifier returns NaN or infinity.
    """
    match = match_labels(
        images.labels, classifier.class_names, classifier.class_aliases, named=classifier.has_class_names
    )
    everything = Subject(classifier, images, match.targets)
    seen = engine.map(_predict, everything, range(len(images)), task="Recording predictions", chunk=64)
    unreadable = tuple(
        Unreadable(path=str(path), reason=str(reason))
        for path, reason in zip(images.table["path"], seen["reason"], strict=True)
        if reason
    )
    readable = np.flatnonzero(seen["reason"] == "")
    if not len(readable):
        raise ImagesError(
            f"None of the {len(images)} images could be read (the first, {unreadable[0].path}: {unreadable[0].reason})."
        )
    logits = seen["logits"][readable]
    broken = readable[~np.isfinite(logits).all(1)]
    if len(broken):
        raise ModelError(
            f"The model returns NaN or infinity for {len(broken)} of {len(readable)} images (the first is "
            f"{images.table['path'].iloc[broken[0]]}); check its weights, and mean and std."
        )
    subject = everything  # whose fingerprint is already known
    if unreadable:
        subject = Subject(classifier, images.subset(readable), match.targets[readable])
    masked, wrong = _usable_masks(subject, engine, cue=False)
    cue_masked, wrong_cues = _usable_masks(subject, engine, cue=True)
    return Recording(subject, logits, unreadable, match, masked, cue_masked, (*wrong, *wrong_cues), options or {})


def _usable_masks(subject: Subject, engine: Engine, *, cue: bool) -> tuple[NDArray[np.int64], tuple[Unreadable, ...]]:
    """The rows whose mask shows some but not all pixels, and what is wrong with the other masks."""
    if (subject.images.fetch_cue_mask if cue else subject.images.fetch_mask) is None:
        return np.zeros(0, dtype=np.int64), ()
    everything = range(len(subject.images))
    seen = engine.map(_mask_faults, subject, everything, task="Reading masks", chunk=64, cue=cue)["fault"]
    paths, kind = subject.images.table["path"], "cue mask" if cue else "mask"
    wrong = [i for i, fault in enumerate(seen) if fault and fault != _NO_MASK]
    unusable = tuple(Unreadable(path=f"{kind} of {paths.iloc[i]}", reason=str(seen[i])) for i in wrong)
    return np.flatnonzero(seen == ""), unusable


_NO_MASK = "none"


def _mask_faults(subject: Subject, indices: Sequence[int], batch_size: int, *, cue: bool) -> Arrays:
    """Why each mask cannot be used: '' when it can, 'none' when there is none."""
    faults = []
    for i in indices:
        try:
            mask = subject.images.mask(i, cue=cue)
            if mask is None:
                faults.append(_NO_MASK)
                continue
            pixels = subject.classifier.prepare_mask(mask)
            if not pixels.any():
                faults.append("it marks no pixel of the model's input")
            else:
                faults.append("it marks every pixel of the model's input" if pixels.all() else "")
        except UnreadableImageError as error:
            faults.append(error.reason)
    return {"fault": np.array(faults, dtype=np.str_)}


def _predict(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Logits of the images, and why an image could not be read ('' when it could)."""
    logits = np.zeros((len(indices), subject.classifier.classes), dtype=np.float32)
    reasons: list[str] = []
    pixels = []
    for i in indices:
        try:
            pixels.append(subject.pixels([i]))
            reasons.append("")
        except UnreadableImageError as error:
            reasons.append(error.reason)
    if pixels:
        logits[[not r for r in reasons]] = logits_of(subject.classifier, torch.cat(pixels), batch_size).cpu().numpy()
    return {"logits": logits, "reason": np.array(reasons, dtype=np.str_)}
