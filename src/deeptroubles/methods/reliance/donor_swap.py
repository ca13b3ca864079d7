"""Donor swap: how far does one channel of evidence from an image of another class move the prediction to that class?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.transforms.shared.scenery import Scenery
from deeptroubles.methods.transforms.swap import swap
from deeptroubles.subject import logits_of

SAME_CLASS = 2
"""Number of donors of its own class for each image."""


@dataclass(frozen=True, repr=False)
class Donors(Brief):
    """Recipients and their donors, as indices of images.

    Attributes:
        recipients: N, the recipients.
        same: N x SAME_CLASS, donors of the recipient's own class.
        others: N x R, donors of R other classes.
    """

    recipients: NDArray[np.int64]
    same: NDArray[np.int64]
    others: NDArray[np.int64]


def choose_donors(targets: NDArray[np.int64], max_classes: int, seed: int) -> Donors:
    """Choose random donors: from the recipient's own class, and one from each of up to `max_classes` other classes.

    Args:
        targets: N, the class of each image; at least two classes, with at least two images each.
        max_classes: Largest number of other classes for each image.
        seed: Seed of the choice.
    """
    random = np.random.default_rng(seed)
    of_class = {int(c): np.flatnonzero(targets == c) for c in np.unique(targets)}
    same, others = [], []
    for row, target in enumerate(targets.tolist()):
        own = of_class[target]
        same.append(random.choice(own[own != row], SAME_CLASS))
        classes = random.permutation([c for c in of_class if c != target])[:max_classes]
        others.append([int(random.choice(of_class[int(c)])) for c in classes])
    return Donors(np.arange(len(targets)), np.array(same), np.array(others))


@dataclass(frozen=True, repr=False)
class Moves(Brief):
    """Probabilities after swaps, for N recipients, R donors of other classes each, and C channels.

    Attributes:
        into: N x R x C: probability of the donor's class, with the donor's channel.
        into_same: N x R x C: probability of the donor's class, with the channel of a donor of the recipient's class.
        kept: N x C: probability of the recipient's class, with the channel of a donor of that class.
        lost: N x R x C: probability of the recipient's class, with the donor's channel.
    """

    into: NDArray[np.float32]
    into_same: NDArray[np.float32]
    kept: NDArray[np.float32]
    lost: NDArray[np.float32]


def donor_swap(
    classifier: Classifier,
    scenery: Scenery,
    targets: Tensor,
    donors: Donors,
    channels: Sequence[str],
    batch_size: int = 32,
) -> Moves:
    """Replace each channel by that of donors of other classes and of the recipient's own class.

    The artifacts of a swap change the prediction, too. Donors of the recipient's own class cause the same artifacts, so
    `into - into_same` and `kept - lost` are the effect of the channel's content.

    Args:
        classifier: The classifier.
        scenery: The images, divided into channels of evidence.
        targets: N, their classes.
        donors: Recipients and donors, as indices into the scenery.
        channels: Keys of CHANNELS or WINDOWS.
        batch_size: Number of images per forward pass.

    Returns:
        Probabilities after the swaps.
    """
    rows = torch.from_numpy(donors.recipients).to(targets.device)
    own, other = targets[rows], targets[torch.from_numpy(donors.others).to(targets.device)]
    found: list[list[Tensor]] = [[], [], [], []]
    for channel in channels:
        same = [_probabilities(classifier, scenery, channel, rows, each, batch_size) for each in donors.same.T]
        with_same = torch.stack(same).mean(0)
        with_other = [_probabilities(classifier, scenery, channel, rows, each, batch_size) for each in donors.others.T]
        after = torch.stack(with_other, dim=1)  # N x R x K
        found[0].append(after.gather(2, other[..., None])[..., 0])
        found[1].append(with_same.gather(1, other))
        found[2].append(with_same.gather(1, own[:, None])[:, 0])
        found[3].append(after.gather(2, own[:, None, None].expand(-1, after.shape[1], 1))[..., 0])
    return Moves(*(torch.stack(part, dim=-1).float().cpu().numpy() for part in found))


def _probabilities(
    classifier: Classifier, scenery: Scenery, channel: str, rows: Tensor, donors: NDArray[np.int64], batch_size: int
) -> Tensor:
    """Probabilities of all classes after one swap per recipient, N x K."""
    indices = torch.from_numpy(donors).to(rows.device)
    parts = zip(torch.split(rows, batch_size), torch.split(indices, batch_size), strict=True)
    logits = [logits_of(classifier, swap(scenery, channel, r, d), batch_size) for r, d in parts]
    return torch.cat(logits).softmax(1)
