"""RISE: the mean probability of the class given that a pixel is visible (Petsiuk et al., BMVC 2018)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deeptroubles.classifier import Classifier
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.shared.perturbation import baseline_color, blend, score_of_each
from deeptroubles.methods.parameters import Count, Seed, Share
from deeptroubles.methods.targets import Images, Targets, as_batch
from deeptroubles.subject import logits_of


def rise(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    masks: Count = 256,
    grid: Count = 7,
    keep: Share = 0.5,
    fill: float | Tensor | None = None,
    seed: Seed = 0,
    batch_size: Count = 32,
) -> Tensor:
    """Map of the mean probability of the target over random masks, each pixel weighted by its visibility.

    A mask is a coarse grid of cells, each kept with a probability, scaled up smoothly and shifted at random. The map
    estimates the probability of the class given that the pixel is visible: it is never negative, and only differences
    between pixels matter. With `against` it is the difference of the two maps.

    One forward pass per mask; the noise of the estimate decreases with the square root of their number. The paper uses
    4000 to 8000 masks; the default of 256 is for a quick look (about half a minute per image without an accelerator).

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's probability minus the probability of this class. Default: the target's probability
            alone.
        masks: Number of masks, the same for all images.
        grid: Cells per side of the coarse grid.
        keep: Probability that a cell is kept.
        fill: The pixels where a mask is 0: a gray level, or a tensor that broadcasts to an image. Default: the
            classifier's mean color, which its normalization maps to 0.
        seed: Seed of the masks.
        batch_size: Masked images per forward pass.

    Returns:
        N x H x W, in probability: mean(probability * mask) / keep.

    Raises:
        UsageError: The target is not a class, or the settings of the masks are invalid.

    References:
        V. Petsiuk, A. Das, K. Saenko: RISE: Randomized Input Sampling for Explanation of Black-box Models, BMVC 2018,
        equation 6 and section 3.2.
    """
    if masks < 1 or not 0 < keep <= 1 or not 1 <= grid <= min(classifier.size):
        raise UsageError(
            f"RISE cannot use {masks} masks of {grid} x {grid} cells kept with probability {keep:g}; choose "
            f"masks >= 1, 1 <= grid <= {min(classifier.size)}, 0 < keep <= 1."
        )
    batch = as_batch(classifier, images)
    scores = score_of_each(classifier, logits_of(classifier, batch, batch_size), target, against)
    cover = baseline_color(classifier, fill, batch)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(len(batch), *classifier.size, dtype=batch.dtype, device=batch.device)
    for start in range(0, masks, batch_size):
        drawn = draw_masks(min(batch_size, masks - start), classifier.size, grid, keep, generator).to(batch)
        for i, (image, score) in enumerate(zip(batch, scores, strict=True)):
            probabilities = logits_of(classifier, blend(image, drawn, cover), batch_size).softmax(1)
            total[i] += torch.einsum("m,mhw->hw", score(probabilities), drawn)
    return total / (keep * masks)


def draw_masks(count: int, size: tuple[int, int], grid: int, keep: float, generator: torch.Generator) -> Tensor:
    """Random masks, count x H x W, between 0 and 1, each pixel `keep` on average."""
    cells = (torch.rand(count, grid, grid, generator=generator) < keep).float()
    cell = [-(-length // grid) for length in size]
    shifts = torch.stack([torch.randint(n, (count,), generator=generator) for n in cell], dim=1)
    return scale_and_crop(cells, shifts, size)


def scale_and_crop(cells: Tensor, shifts: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale coarse grids (M x s x s) up to one cell more than the image, and crop them at a shift (M x 2)."""
    grid = cells.shape[-1]
    height, width = ((grid + 1) * -(-length // grid) for length in size)
    large = interpolate(cells[:, None], size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    return torch.stack(
        [
            mask[top : top + size[0], left : left + size[1]]
            for mask, (top, left) in zip(large, shifts.tolist(), strict=True)
        ]
    )
