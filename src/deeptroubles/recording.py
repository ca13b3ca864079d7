"""The recording: the one pass over the images that every check reads from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import __version__ as pillow_version
from scipy.special import softmax

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.engine import Arrays, Engine, result_key
from deeptroubles.errors import ImagesError, ModelError, UnreadableImageError
from deeptroubles.findings import Unreadable
from deeptroubles.images import ImageSet
from deeptroubles.images.label_reading import read_labels
from deeptroubles.images.labels import LabelMatch, match_labels
from deeptroubles.outputs import to_logits
from deeptroubles.run.pixels import PixelFolder
from deeptroubles.statistics.evenly_spaced import evenly_spaced
from deeptroubles.subject import Subject, returned_by


@dataclass(frozen=True)
class Budget:
    """What each check may spend.

    Attributes:
        looks: How many times a check may show an image to the classifier.
        seconds: How long the classifier takes for one.
    """

    looks: int
    seconds: float

    def images(self, views: float, at_least: int = 1) -> int:
        """How many images a check may look at that shows each `views` times."""
        return max(at_least, int(self.looks / views))


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
        conversions: What was done to the images so that the classifier can take them; '' if nothing.
        budget: What each check may spend; None: as much as it needs.
    """

    subject: Subject
    logits: NDArray[np.float32]
    unreadable: tuple[Unreadable, ...]
    labels: LabelMatch
    masked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    cue_masked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    unusable_masks: tuple[Unreadable, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    conversions: str = ""
    budget: Budget | None = None

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
        return evenly_spaced(len(self.logits), size)

    def affordable(self, most: int, views: float, at_least: int) -> int:
        """How many images a check may look at that shows each `views` times: at most `most`."""
        return min(most, self.budget.images(views, at_least)) if self.budget else most

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class with the highest logit. N."""
        return np.asarray(self.logits.argmax(1), dtype=np.int64)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Softmax of the logits. N x K."""
        return np.asarray(softmax(self.logits.astype(np.float64), axis=1))


def record(
    classifier: Classifier,
    images: ImageSet,
    engine: Engine,
    options: Mapping[str, Any] | None = None,
    pixels: PixelFolder | None = None,
) -> Recording:
    """Run the classifier once on every image.

    `options` is what the user gave for the checks, `pixels` where prepared images are kept, so that each is decoded
    once.

    Raises:
        ImagesError: No image could be read.
        ModelError: The classifier returns NaN or infinity.
    """
    everything, match, seen = read_subject(classifier, images, engine, pixels)
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
    returned = seen["returned"][readable]
    broken = readable[~np.isfinite(returned).all(1)]
    if len(broken):
        raise ModelError(
            f"The model returns NaN or infinity for {len(broken)} of {len(readable)} images (the first is "
            f"{images.table['path'].iloc[broken[0]]}); check its weights, and mean and std."
        )
    read = everything.classifier
    logits = to_logits(torch.from_numpy(returned), read.outputs).numpy()
    subject = everything  # whose fingerprint is already known
    if unreadable:
        subject = everything.subset(readable)
    masked, wrong = _usable_masks(subject, engine, cue=False)
    cue_masked, wrong_cues = _usable_masks(subject, engine, cue=True)
    unusable = (*wrong, *wrong_cues)
    done = images.describe_conversions(seen["done"][readable], seen["scale"][readable])
    return Recording(subject, logits, unreadable, match, masked, cue_masked, unusable, options or {}, done)


def read_subject(
    classifier: Classifier, images: ImageSet, engine: Engine, pixels: PixelFolder | None = None
) -> tuple[Subject, LabelMatch, Arrays]:
    """Run the classifier once on every image; decide how its outputs are read, and match the labels to its classes.

    Where the labels do not name the classes, the predictions decide what they mean.

    Returns:
        The classifier with its images and their classes, how labels were matched, and for each image what the module
        returned, the reason why it could not be read ('' when it could), what was done to it and how it was scaled.

    Raises:
        ModelError: The outputs are not what was declared.
    """
    known = (images.labels, classifier.class_names, classifier.class_aliases)
    subject = Subject(classifier, images, match_labels(*known, named=classifier.has_class_names).targets)
    if pixels:
        key = result_key(subject, "pixels", pillow_version)
        subject = replace(subject, kept=pixels.file(key, len(images), (*classifier.size, classifier.channels)))
    seen = engine.map(_decode, subject, range(len(images)), task="Decoding images", chunk=64)
    seen |= engine.map(_predict, subject, range(len(images)), task="Recording predictions", chunk=64)
    usable = np.flatnonzero((seen["reason"] == "") & np.isfinite(seen["returned"]).all(1))
    values = torch.from_numpy(seen["returned"][usable])
    read = classifier.reading(values) if len(values) else classifier
    predicted = np.full(len(images), -1)
    predicted[usable] = to_logits(values, read.outputs).argmax(1).numpy()
    match = read_labels(*known, predicted, named=classifier.has_class_names)
    if read is not classifier or not np.array_equal(match.targets, subject.targets):
        subject = replace(subject, classifier=read, targets=match.targets)
    return subject, match, seen


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


def _decode(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """Why each image could not be read ('' when it could), and how it was converted; its pixels are kept."""
    found = subject.decode(indices)
    reason, done = np.array(found.reasons, dtype=np.str_), np.array(found.done, dtype=np.bool_)
    return {"reason": reason, "done": done, "scale": found.scales}


def _predict(subject: Subject, indices: Sequence[int], batch_size: int) -> Arrays:
    """What the module returns for the images; 0 for those that cannot be read."""
    returned = np.zeros((len(indices), subject.classifier.output_count), dtype=np.float32)
    pixels, readable, _ = subject.readable_pixels(indices)
    if len(readable):
        values = returned_by(subject.classifier, pixels, batch_size)
        returned[np.isin(indices, readable)] = values.cpu().numpy()
    return {"returned": returned}
