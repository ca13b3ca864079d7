"""Duplication gain: paste copies of the evidence for a class ("more eyes score higher")."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import UsageError
from deeptroubles.methods.attribution.occlusion import default_window, hidden_logits, hide, window_grid
from deeptroubles.methods.parameters import Count
from deeptroubles.methods.targets import Images, Targets, as_batch, as_targets
from deeptroubles.subject import logits_of


@dataclass(frozen=True, repr=False)
class DuplicationGain(Brief):
    """By how much duplicating parts of the image can raise the probability of a class.

    Attributes:
        probability: After 0, 1, ... duplicates, N x (steps + 1); the first column is the image as it is.
        covered: Control: probability with the mean color instead of each step's duplicate, N x steps. Where this rises
            as well, what the duplicate hid explains the rise. The same as `probability` where there is no duplicate.
        first: Probability with the single best duplicate of each window, N x rows x columns; NaN where the window was
            not tried or would change no pixel.
        sources: The windows that were duplicated, N x steps x 4 (top, left, bottom, right); all 0 where no duplicate
            raised the probability further.
        destinations: Where the duplicates were pasted, N x steps x 4; all 0 likewise.
        images: The images after the last step, N x C x H x W.
    """

    probability: Tensor
    covered: Tensor
    first: Tensor
    sources: Tensor
    destinations: Tensor
    images: Tensor


def duplication_gain(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    steps: Count = 3,
    window: Count | None = None,
    stride: Count | None = None,
    sources: Count = 8,
    batch_size: Count = 32,
) -> DuplicationGain:
    """Greedily paste the duplicate of a window that raises the target's probability most; stop when none does.

    A face with four eyes is not a better face. A classifier that becomes more confident with every additional eye
    counts parts and ignores their spatial arrangement.

    Every step tries each source at every window of the grid. A duplicate never covers its source, or anything that was
    duplicated or pasted before, so all copies of a part stay visible. A duplicate also hides what was there before;
    `covered` is the control for that.

    Args:
        classifier: The classifier.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: True class, for all images or one each. Default: the predicted class of each image.
        steps: Maximum number of duplicates.
        window: Side of the square window in pixels. Default: a seventh of the shorter side.
        stride: Step between windows. Default: the window, so that windows tile the image (the last of a row or column
            is shifted to lie inside the image).
        sources: Number of windows that are tried as sources: those that lower the probability most when they are
            covered with the classifier's mean color. With as many as there are windows, the search is exhaustive.
        batch_size: Modified images per forward pass.

    Returns:
        The probability after each step, and the windows pasted.

    Raises:
        UsageError: A class does not exist, the grid does not cover the image, or there is no source.

    References:
        Ours.
    """
    if sources < 1:
        raise UsageError(f"The number of sources is {sources}; give at least 1.")
    batch = as_batch(classifier, images)
    window = default_window(classifier.size) if window is None else window
    boxes, grid = window_grid(classifier.size, window, window if stride is None else stride)
    corners = torch.minimum(boxes[:, :2], torch.tensor(classifier.size) - window)
    boxes = torch.cat([corners, corners + window], dim=1)
    clean = logits_of(classifier, batch, batch_size)
    targets = as_targets(classifier, target, clean)
    probability = clean.softmax(1).gather(1, targets[:, None]).repeat(1, steps + 1)
    covered = probability[:, 1:].clone()
    first = torch.full((len(batch), len(boxes)), torch.nan, device=batch.device)
    moves, current = torch.zeros(len(batch), steps, 2, 4, dtype=torch.long), batch.clone()
    for i in range(len(batch) if steps else 0):
        search = _Search(classifier, boxes, int(targets[i]), batch_size)
        tried = search.sources(batch[i], sources)
        for step in range(steps):
            pairs = search.pairs(current[i], tried, moves[i, :step])
            scores = search.scores(current[i], pairs)
            if step == 0:
                first[i] = first[i].scatter_reduce(0, pairs[:, 0].to(first.device), scores, "amax", include_self=False)
            if not len(scores) or scores.max() <= probability[i, step]:
                break
            pair = pairs[scores.argmax().cpu()]
            moves[i, step] = boxes[pair]
            covered[i, step] = search.covered(current[i], pair)
            current[i] = search.pasted(current[i], pair)
            probability[i, step + 1 :], covered[i, step + 1 :] = scores.max(), scores.max()
    return DuplicationGain(probability, covered, first.view(-1, *grid), moves[:, :, 0], moves[:, :, 1], current)


@dataclass(frozen=True)
class _Search:
    """Candidate pairs and their scores. A pair is (source, destination), as windows."""

    classifier: Classifier
    boxes: Tensor
    target: int
    batch_size: int

    def sources(self, image: Tensor, count: int) -> Tensor:
        """The windows that lower the probability most when they are hidden."""
        if count >= len(self.boxes):
            return torch.arange(len(self.boxes))
        hidden = self._probabilities(image, self.boxes, self.classifier.mean[0])
        return hidden.cpu().argsort(stable=True)[:count]

    def pairs(self, image: Tensor, sources: Tensor, moves: Tensor) -> Tensor:
        """All pairs (P x 2) that change a pixel and cover nothing that earlier moves (moves x 2 x 4) used."""
        free = ~_overlap(self.boxes, moves.reshape(-1, 4)).any(1)
        whole = ~_overlap(self.boxes[sources], moves[:, 1]).any(1)  # sources that were pasted over are gone
        allowed = whole[:, None] & free & ~_overlap(self.boxes[sources], self.boxes)
        which, destinations = allowed.nonzero(as_tuple=True)
        pairs = torch.stack([sources[which], destinations], dim=1)
        parts = self._parts(image)
        return pairs[(parts[pairs[:, 0]] != parts[pairs[:, 1]]).flatten(1).any(1).cpu()]

    def scores(self, image: Tensor, pairs: Tensor) -> Tensor:
        """The probability of the target with each pair's source pasted at its destination."""
        if not len(pairs):
            return image.new_empty(0)
        return self._probabilities(image, self.boxes[pairs[:, 1]], self._parts(image)[pairs[:, 0]])

    def covered(self, image: Tensor, pair: Tensor) -> Tensor:
        """The probability with the pair's destination covered with the mean color."""
        return self._probabilities(image, self.boxes[pair[1:]], self.classifier.mean[0])[0]

    def pasted(self, image: Tensor, pair: Tensor) -> Tensor:
        """The image with the pair's source pasted at its destination."""
        return hide(image, self.boxes[pair[1:]], self._parts(image)[pair[:1]])[0]

    def _parts(self, image: Tensor) -> Tensor:
        """The pixels of each window, M x C x h x w."""
        return torch.stack([image[:, top:bottom, left:right] for top, left, bottom, right in self.boxes.tolist()])

    def _probabilities(self, image: Tensor, boxes: Tensor, content: Tensor) -> Tensor:
        return hidden_logits(self.classifier, image, boxes, content, self.batch_size).softmax(1)[:, self.target]


def _overlap(first: Tensor, second: Tensor) -> Tensor:
    """Which boxes (A x 4) share a pixel with which others (B x 4): A x B."""
    top_left = torch.maximum(first[:, None, :2], second[None, :, :2])
    bottom_right = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (top_left < bottom_right).all(2)
