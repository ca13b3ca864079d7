"""Texts in a space that images and texts share, for models with a text tower (CLIP and its relatives)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.errors import UsageError


class TextTower(Protocol):
    """Embeds texts in the space that images and texts share.

    Attributes:
        layer: Name of the classifier's layer whose output is the embedding of the image, N x D, of any norm.
        vocabulary: The tokens that texts may consist of.
        vectors: The input vector of each token, V x E.
    """

    layer: str

    @property
    def vocabulary(self) -> Tensor: ...  # noqa: D102

    @property
    def vectors(self) -> Tensor: ...  # noqa: D102

    def tokens(self, text: str) -> list[int]:
        """Encode a text."""

    def text(self, tokens: Sequence[int]) -> str:
        """Decode tokens."""

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Embed texts: T x D, of norm 1."""

    def embed_vectors(self, vectors: Tensor) -> Tensor:
        """Embed token vectors, which may be those of no token: N x L x E to N x D, differentiable."""


class ScoredText(NamedTuple):
    """A text and its cosine with a unit's direction, in [-1, 1]."""

    text: str
    score: float


def unit_direction(activations: Tensor, embeddings: Tensor) -> Tensor:
    """The direction of a unit in the embedding space: the covariance of its activation and the image embeddings.

        d = sum_i (a_i - mean a) e_i / |...|, with e_i of norm 1

    It describes the unit on these images only. For a unit that responds to two things it is the direction between them.
    Differences that the images or the joint embedding lack do not show.

    Args:
        activations: R, or R x U for several units.
        embeddings: R x D, of any norm.

    Raises:
        UsageError: A unit has the same activation on all images.
    """
    single = activations.ndim == 1
    centered = (activations[:, None] if single else activations).double()
    centered = centered - centered.mean(0)
    if len(centered) < 2 or bool((centered.abs().amax(0) == 0).any()):
        raise UsageError("A unit has the same activation on all images; choose another unit, or other images.")
    directions = centered.T @ functional.normalize(embeddings.double(), dim=1)
    directions = functional.normalize(directions, dim=1).to(embeddings.dtype)
    return directions[0] if single else directions


def score_texts(tower: TextTower, direction: Tensor, texts: list[str]) -> list[ScoredText]:
    """The cosine of each text with a direction (D)."""
    if not texts:
        return []
    with torch.no_grad():
        scores = tower.embed(texts) @ functional.normalize(direction, dim=0)
    return [ScoredText(text, score) for text, score in zip(texts, scores.tolist(), strict=True)]
