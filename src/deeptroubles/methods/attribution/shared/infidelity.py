"""Infidelity: does the sum of a map over a region predict how much the score falls when the region is covered?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.attribution.shared.perturbation import score_of_each
from deeptroubles.methods.attribution.shared.quality import to_pixels
from deeptroubles.methods.targets import Targets, as_batch
from deeptroubles.subject import logits_of

SQUARES = 100


@dataclass(frozen=True, repr=False)
class Infidelity(Brief):
    """The mean squared error of a map as a prediction of the score's fall, over random squares.

    Attributes:
        raw: Of the map as it is, in squared logits; for maps that are in logits. N.
        scaled: Of the map times the factor that fits best, in squared logits; maps in any unit can be compared. N.
        change: The mean squared fall of the score: the infidelity of a map that is 0. N.
    """

    raw: Tensor
    scaled: Tensor
    change: Tensor

    @property
    def share(self) -> Tensor:
        """`scaled` as a share of `change`, in [0, 1]; lower is better. 1 where the score never changes. N."""
        still = self.change <= 0
        return torch.where(still, 1.0, self.scaled / torch.where(still, 1.0, self.change))


def infidelity(
    classifier: Classifier,
    images: Tensor,
    maps: Tensor,
    target: Targets = None,
    *,
    squares: int = SQUARES,
    seed: int = 0,
    batch_size: int = 32,
) -> Infidelity:
    """Infidelity of maps of contributions, with random squares covered by the classifier's mean color.

    The side of a square is between 1 pixel and half of the shorter side of the image.

    Args:
        classifier: The classifier.
        images: N x C x H x W, in [0, 1].
        maps: N x h x w.
        target: Class index, for all images or one each. Default: the predicted class of each image.
        squares: Number of squares for each image; all images have the same.
        seed: Seed of the squares.
        batch_size: Images per forward pass.

    References:
        C.-K. Yeh et al.: On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, definition 2.1 (with the
        square removal of section 2.2) and the optimal scaling of section 4.
    """
    batch = as_batch(classifier, images)
    clean = logits_of(classifier, batch, batch_size)
    covered = _squares(classifier.size, squares, seed).to(batch)
    # Scaling a map to the image keeps its sum.
    fine = to_pixels(maps, classifier.size)
    fine = fine * (maps[0].numel() / fine[0].numel())
    predicted = torch.einsum("nhw,shw->ns", fine.double(), covered.double())
    falls = []
    for image, own, score in zip(batch, clean, score_of_each(classifier, clean, target, None), strict=True):
        shown = torch.where(covered[:, None] > 0, classifier.mean[0], image)
        falls.append(score(own[None]) - score(logits_of(classifier, shown, batch_size)))
    fall = torch.stack(falls).double()
    power = predicted.square().sum(1, keepdim=True)
    factor = (predicted * fall).sum(1, keepdim=True) / power.clamp(min=1e-30)
    errors = [(values - fall).square().mean(1) for values in (predicted, factor * predicted)]
    return Infidelity(errors[0], errors[1], fall.square().mean(1))


def _squares(size: tuple[int, int], count: int, seed: int) -> Tensor:
    """Random squares, count x H x W booleans."""
    generator = torch.Generator().manual_seed(seed)
    sides = torch.randint(1, max(1, min(size) // 2) + 1, (count,), generator=generator)
    corners = [(torch.rand(count, generator=generator) * (length - sides + 1)).long() for length in size]
    inside = [
        (torch.arange(length) >= corner[:, None]) & (torch.arange(length) < (corner + sides)[:, None])
        for length, corner in zip(size, corners, strict=True)
    ]
    return inside[0][:, :, None] & inside[1][:, None, :]
