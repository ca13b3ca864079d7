"""Where one pixel matters: how far the probability of a class falls when a single pixel is changed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.one_pixel import corners, pixel_logits
from deeptroubles.network import open_network
from deeptroubles.network.incremental import LocalEdits
from deeptroubles.progress import track


def pixel_map(
    classifier: Classifier,
    image: Tensor,
    label: int,
    rows: Sequence[int],
    columns: Sequence[int],
    batch_size: int = 256,
) -> Tensor:
    """The lowest probability of a class over the corners of the color cube, with one pixel changed.

    Args:
        classifier: The classifier.
        image: C x H x W, in [0, 1].
        label: Class index.
        rows: The rows of pixels that are tried.
        columns: The columns that are tried.
        batch_size: Images per forward pass.

    Returns:
        One probability for each row and column, len(rows) x len(columns).
    """
    colors = corners(classifier.channels).to(image)
    places = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns)).view(-1, 2)
    edits, found = LocalEdits(open_network(classifier), image[None]), []
    for part in track(torch.split(places, max(1, batch_size // len(colors))), "Changing pixels"):
        y, x = part.repeat_interleave(len(colors), 0).to(image.device).T
        logits = pixel_logits(edits, y, x, colors.repeat(len(part), 1), batch_size)
        found.append(logits.softmax(1)[:, label].view(len(part), -1).amin(1))
    return torch.cat(found).view(len(rows), len(columns))
