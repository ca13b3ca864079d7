"""How a model is trained: what is asked for, and the schedules that hold where nothing else is said."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deeptroubles.models.shared.model_folder import HeadKind
from deeptroubles.training.fit import Schedule
from deeptroubles.training.trained_layers import Depth

SCRATCH = Schedule(epochs=30, patience=10)
"""For a network with random weights."""
TUNED = Schedule(epochs=12, batch=32, peak=3e-3, peak_of_trained=2e-4, patience=4)
"""For a network that was trained before."""
AUGMENTATION = ("crop,flip", "crop", "none")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a model is trained.

    Attributes:
        depth: Which layers: the last one (`head`), the last stage (`last`) or all.
        head: `linear`, or `gap`: global average pooling and one linear layer in place of the dense layers.
        epochs: Passes over the images; the last layer alone needs none.
        scratch: Whether all weights are random at the start.
        augmentation: `crop,flip`, `crop` (for letters, digits, sides of a body) or `none`.
        balanced: Whether each class counts the same, however many images it has.
        group: Column of what must not be on both sides of the split, such as the patient.
        seed: Seed of the split, of new weights and of everything else random.
    """

    depth: Depth
    head: HeadKind = "linear"
    epochs: int
    scratch: bool = False
    augmentation: str = "crop,flip"
    balanced: bool = False
    group: str | None = None
    seed: int = 0

    @property
    def schedule(self) -> Schedule:
        """The schedule with this number of epochs."""
        return replace(SCRATCH if self.scratch else TUNED, epochs=self.epochs)
