"""Target matrix: the smallest perturbation found for every pair of an image and a target class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.methods.attacks.ddn import ddn
from deeptroubles.methods.attacks.shared.clean import clean_batch
from deeptroubles.methods.parameters import Count, Positive
from deeptroubles.methods.targets import Images, as_targets
from deeptroubles.subject import logits_of


@dataclass(frozen=True, repr=False)
class TargetMatrix(Brief):
    """What was found for every pair of an image and a target class.

    Attributes:
        images: N x K x C x H x W in [0, 1]; the clean image where the attack failed.
        success: Whether the image is predicted as the class, N x K.
        distance: L2 norm of the perturbation, N x K; 0 where the unchanged image is predicted as the class, infinite
            where no perturbation was found.
        queries: Number of times the image was shown to the classifier, N x K; forward and backward count as one.
    """

    images: Tensor
    success: Tensor
    distance: Tensor
    queries: Tensor


def target_matrix(
    classifier: Classifier,
    images: Images,
    *,
    classes: Sequence[int] | None = None,
    steps: Count = 100,
    init_norm: Positive = 1.0,
    eight_bit: bool = True,
    batch_size: Count = 128,
) -> TargetMatrix:
    """Attack every image towards every class with targeted `ddn`, all pairs in one batch.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        classes: The K classes to reach, in the order of the columns. Default: all.
        steps: Steps of each attack; more find smaller perturbations.
        init_norm: Radius of the first sphere (L2), for pixels in [0, 1].
        eight_bit: Attack the images rounded to 8 bits, return images of 8 bits, and count success on them.
        batch_size: Pairs per forward pass.

    Returns:
        The images found, and for each pair whether the attack succeeded, the distance and the number of queries.

    Raises:
        UsageError: A class does not exist.

    References:
        J. Rony et al., Decoupling direction and norm for efficient gradient-based L2 adversarial attacks and defenses,
        CVPR 2019.
    """
    batch = clean_batch(classifier, images, eight_bit=eight_bit)
    wanted = list(range(classifier.classes)) if classes is None else list(classes)
    columns = as_targets(classifier, wanted, torch.zeros(len(wanted), classifier.classes, device=batch.device))
    success = logits_of(classifier, batch, batch_size).argmax(1)[:, None] == columns
    found = batch[:, None].repeat(1, len(columns), 1, 1, 1)
    distance = torch.where(success, 0.0, torch.inf).to(batch)
    queries = torch.ones(success.shape, dtype=torch.long, device=batch.device)
    starts, targets = (~success).nonzero(as_tuple=True)
    if len(starts):
        result = ddn(
            classifier,
            batch[starts],
            targets=columns[targets],
            steps=steps,
            init_norm=init_norm,
            eight_bit=eight_bit,
            batch_size=batch_size,
        )
        found[starts, targets], success[starts, targets] = result.images, result.success
        distance[starts, targets] = torch.where(result.success, result.distance, torch.inf)
        queries[starts, targets] += result.queries
    return TargetMatrix(found, success, distance, queries)
