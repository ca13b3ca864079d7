"""Rank texts by how strongly they excite a unit, in the embedding space that images and texts share."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from deeptroubles.methods.units.shared.texts import ScoredText, TextTower, score_texts


def rank_texts(tower: TextTower, direction: Tensor, texts: Iterable[str]) -> list[ScoredText]:
    """Rank texts by how strongly they excite a unit.

    Images and texts lie in different parts of the embedding space, so all cosines are small: compare them only with
    each other.

    Args:
        tower: The text tower.
        direction: D, from `unit_direction`.
        texts: The texts.

    Returns:
        Texts with their cosines, strongest first.

    References:
        G. Goh et al.: Multimodal neurons in artificial neural networks, Distill 2021 (text feature visualization).
    """
    return sorted(score_texts(tower, direction, list(texts)), key=lambda found: (-found.score, found.text))
