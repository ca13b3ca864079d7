"""What checks need from the user beside the model and the images: one small class for each.

An option called `cue` is `--cue` on the command line and `cue=` of `deeptroubles.audit`. Only the options of checks
that were chosen are read. What else a check can need, such as labels, stands at the end. This file imports no torch, so
that the command line can list options without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from deeptroubles.errors import ImagesError, UsageError, nearest

if TYPE_CHECKING:
    from deeptroubles.classifier import Classifier
    from deeptroubles.images import ImageSet
    from deeptroubles.methods.transforms.shared.named_cue import NamedCue
    from deeptroubles.recording import Recording
    from deeptroubles.subject import Subject

T = TypeVar("T")


class Option(Generic[T]):
    """Something the user can give.

    Attributes:
        name: Its name in Python; on the command line with hyphens.
        metavar: What a value is, for the command line.
        help: One line about it.
        repeatable: Whether there can be several values.
        to_add: What to do when a check needs it and it was not given.
    """

    name: ClassVar[str]
    metavar: ClassVar[str]
    help: ClassVar[str]
    repeatable: ClassVar[bool] = True
    to_add: ClassVar[str] = ""

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> T:
        """What checks get. Called before any work is done; raises UsageError or ImagesError for what cannot be used."""
        raise NotImplementedError

    def of(self, recording: Recording) -> T | None:
        """What was given, None when nothing was."""
        value: T | None = recording.options.get(self.name)
        return value

    def met(self, recording: Recording) -> bool:
        """Whether it was given."""
        return self.name in recording.options


class CueOption(Option["tuple[NamedCue, ...]"]):
    """Cues that the model should not rely on."""

    name = "cue"
    metavar = "CUE"
    help = "A cue to insert and remove, a folder of them, or run:FOLDER; see `deeptroubles help reliance.cue`."

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> tuple[NamedCue, ...]:
        from deeptroubles.methods.transforms.shared.named_cue import fit_cues

        return fit_cues(values, images)


class ConceptOption(Option["dict[str, ImageSet]"]):
    """Folders of images that show a concept each; the images are listed, not decoded."""

    name = "concept"
    metavar = "FOLDER"
    help = "A folder of images that show a concept."
    to_add = "add --concept FOLDER, a folder of images that show a concept"

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> dict[str, ImageSet]:
        from deeptroubles.images import load_images

        found: dict[str, ImageSet] = {}
        for folder in values:
            concept = load_images(folder)
            if len(concept) < 2:
                raise ImagesError(f"The concept {folder} has only one image; give at least two, better 30.")
            if concept.name in found:
                raise UsageError(f"Two concepts are named {concept.name!r}; give their folders different names.")
            found[concept.name] = concept
        return found


class GroupOption(Option["tuple[str, ...]"]):
    """Columns of the images' table that say which group an image belongs to."""

    name = "group"
    metavar = "COLUMN"
    help = "A column of the manifest that says an image's group; age:18,65 cuts numbers into bands."
    to_add = "add --group COLUMN, a column of the manifest that says an image's group"

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> tuple[str, ...]:
        from deeptroubles.methods.fairness.groupings import fit_groups

        fit_groups(values, images)
        return tuple(values)


class ConflictOption(Option["ImageSet"]):
    """A folder of images with the shape of one class and the texture of another; listed, not decoded."""

    name = "conflict"
    metavar = "FOLDER"
    help = "Images named <shape>-<texture>; see `deeptroubles help reliance.texture`."
    to_add = "add --conflict FOLDER, images with the shape of one class and the texture of another"
    repeatable = False

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> ImageSet:
        from deeptroubles.images import load_images
        from deeptroubles.methods.reliance.cue_conflict import find_trials

        stimuli = load_images(values[0])
        find_trials(classifier, stimuli)
        return stimuli


class PositiveOption(Option[int]):
    """The class that thresholds are chosen for, against the rest."""

    name = "positive"
    metavar = "CLASS"
    help = "The class that mitigation.thresholds chooses thresholds for, against the rest."
    repeatable = False
    to_add = "add --positive CLASS, the class to choose thresholds for"

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> int:
        from deeptroubles.images.labels import find_class

        return find_class(classifier, values[0])


class CostRatioOption(Option[float]):
    """What a false positive costs when a false negative costs 1."""

    name = "cost_ratio"
    metavar = "NUMBER"
    help = "For mitigation.thresholds: the cost of a false positive; a false negative costs 1. Default: 1."
    repeatable = False

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> float:
        try:
            ratio = float(values[0])
        except ValueError:
            ratio = 0.0
        if not ratio > 0:
            raise UsageError(f"The cost ratio is {values[0]}; give a number above 0.")
        return ratio


class ThresholdOption(Option["dict[str, float]"]):
    """A threshold of the user's own for each group."""

    name = "threshold"
    metavar = "GROUP=NUMBER"
    help = "For mitigation.thresholds: a threshold of your own for a group."

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> dict[str, float]:
        found = {}
        for text in values:
            group, _, number = text.rpartition("=")
            try:
                found[group] = float(number)
            except ValueError:
                raise UsageError(f"{text!r} is no threshold; write GROUP=NUMBER, such as north=0.4.") from None
        return found


class TrainingOption(Option["Subject"]):
    """The images that the network was trained on, or others like them; listed, not decoded."""

    name = "training"
    metavar = "IMAGES"
    help = "For performance.baseline: the labelled images that the network was trained on, to fit the baselines on."
    repeatable = False

    def read(self, values: Sequence[str], classifier: Classifier, images: ImageSet) -> Subject:
        import numpy as np

        from deeptroubles.images import load_images
        from deeptroubles.images.labels import match_labels
        from deeptroubles.subject import Subject

        found = load_images(values[0])
        known = (classifier.class_names, classifier.class_aliases)
        targets = match_labels(found.labels, *known, named=classifier.has_class_names).targets
        if len(np.unique(targets[targets >= 0])) < 2:
            raise ImagesError(
                f"The labels of {values[0]} name fewer than two of the model's classes; give training images in a "
                "folder for each class, or a manifest with a column `label`."
            )
        return Subject(classifier, found, targets)


CUE, CONCEPT, GROUP, CONFLICT = CueOption(), ConceptOption(), GroupOption(), ConflictOption()
POSITIVE, COST_RATIO, THRESHOLD, TRAINING = PositiveOption(), CostRatioOption(), ThresholdOption(), TrainingOption()
OPTIONS: tuple[Option[Any], ...] = (CUE, CONCEPT, GROUP, CONFLICT, POSITIVE, COST_RATIO, THRESHOLD, TRAINING)
"""The options of all checks, in the order of the command line's help."""


def read_options(
    given: Mapping[str, Any], taken: Iterable[Option[Any]], classifier: Classifier, images: ImageSet
) -> dict[str, Any]:
    """Read the options that some checks take, by name; None and empty values are the same as not given.

    Raises:
        UsageError: There is no such option, it was given several values where it has one, or as its `read` says.
        ImagesError: As its `read` says.
    """
    options = {option.name: option for option in (*OPTIONS, *taken)}
    for name in given:
        if name not in options:
            raise UsageError(f"There is no option {name!r}.{nearest(name, options)}")
    read = {}
    for option in {option.name: option for option in taken}.values():
        value = given.get(option.name)
        if isinstance(value, Mapping):
            value = [f"{key}={each!r}" for key, each in value.items()]
        several = [value] if isinstance(value, str | Path | int | float) else list(value or ())
        values = [str(each) for each in several if each != ""]
        if len(values) > 1 and not option.repeatable:
            raise UsageError(f"The option {option.name!r} takes one value; it was given {len(values)}.")
        if values:
            read[option.name] = option.read(values, classifier, images)
    return read


@dataclass(frozen=True)
class Need:
    """Something the images must have.

    Attributes:
        to_add: What to do when they do not have it.
        met: Whether a recording has it.
    """

    to_add: str
    met: Callable[[Recording], bool]


ANY_LABELS = Need("add labels", lambda recording: any(label is not None for label in recording.subject.images.labels))
LABELS = Need("add labels that match the model's class names", lambda recording: len(recording.labelled) > 0)
MASKS = Need(
    "add object masks with --masks FOLDER, or as files in a column `mask` of the manifest",
    lambda recording: len(recording.masked) > 0,
)
