"""Search for texts that excite a unit most, in the embedding space that images and texts share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.methods.parameters import Count, NonNegative
from deeptroubles.methods.units.shared.texts import ScoredText, TextTower, score_texts


def maximize_text(
    tower: TextTower,
    direction: Tensor,
    *,
    start: Sequence[str] = ("",),
    max_tokens: Count = 4,
    beam: Count = 8,
    candidates: Count = 128,
    length_penalty: NonNegative = 0.0,
    steps: Count = 16,
) -> list[ScoredText]:
    """Search for the texts that excite a unit most (beam search that replaces, inserts or drops one token at a time).

    Candidates are ranked by the gradient with respect to the token vectors; an inserted token starts as the mean of all
    vectors. Each candidate is decoded to text and encoded again, and only the score of that text counts. The search is
    greedy, so better texts may exist. Where the tower has no word for the direction, the texts can be nonsense.

    Args:
        tower: The text tower.
        direction: D, from `unit_direction`.
        start: Texts to start from, in addition to the empty one, e.g. the class names.
        max_tokens: The largest number of tokens of a text.
        beam: Number of texts that are kept from step to step, and returned.
        candidates: Number of candidates per text and step.
        length_penalty: Cost of each token, in cosine.
        steps: Maximum number of steps. The search stops earlier when no text improves.

    Returns:
        Texts with their cosines (without the penalty), ordered by the score with the penalty, best first.

    References:
        J. Ebrahimi, A. Rao, D. Lowd, D. Dou: HotFlip: white-box adversarial examples for text classification, ACL 2018.
        G. Goh et al.: Multimodal neurons in artificial neural networks, Distill 2021 (text feature visualization).
    """
    known: dict[str, ScoredText] = {}

    def worth(text: str) -> tuple[float, str]:
        return length_penalty * len(tower.tokens(text)) - known[text].score, text

    kept, fresh = list[str](), ["", *start]
    for _ in range(steps + 1):
        known |= {found.text: found for found in score_texts(tower, direction, [t for t in fresh if t not in known])}
        better = sorted({*kept, *fresh}, key=worth)[:beam]
        if better == kept:
            break
        kept = better
        changes = (_changes(tower, direction, text, max_tokens, candidates) for text in kept)
        changed = dict.fromkeys(text for texts in changes for text in texts)
        fresh = [text for text in changed if text and len(tower.tokens(text)) <= max_tokens]
    return [known[text] for text in kept if text]


def _changes(tower: TextTower, direction: Tensor, text: str, max_tokens: int, candidates: int) -> list[str]:
    """The most promising texts that differ in one token, and all texts with one token dropped."""
    tokens = tower.tokens(text)
    vectors, vocabulary = tower.vectors, tower.vocabulary
    slots, promises = list[list[int | None]](), list[Tensor]()
    if tokens:
        slots += [[*tokens[:i], None, *tokens[i + 1 :]] for i in range(len(tokens))]
        value, gradient = _gradients(tower, direction, vectors[tokens][None])
        gain = gradient[0] @ vectors[vocabulary].T - (gradient[0] * vectors[tokens]).sum(1, keepdim=True)
        promises.append(value + gain)
    if len(tokens) < max_tokens:
        slots += [[*tokens[:i], None, *tokens[i:]] for i in range(len(tokens) + 1)]
        mean = vectors[vocabulary].mean(0)
        present = vectors[torch.tensor(tokens, dtype=torch.long)]
        longer = torch.stack([torch.cat([present[:i], mean[None], present[i:]]) for i in range(len(tokens) + 1)])
        value, gradient = _gradients(tower, direction, longer)
        inserted = gradient[range(len(longer)), range(len(longer))]
        promises.append(value[:, None] + inserted @ (vectors[vocabulary] - mean).T)
    flat = torch.cat(promises).flatten()
    best = flat.topk(min(candidates, len(flat))).indices.tolist()
    found = [(slots[i // len(vocabulary)], int(vocabulary[i % len(vocabulary)])) for i in best]
    changed = [tower.text([new if token is None else token for token in slot]) for slot, new in found]
    return changed + [tower.text([*tokens[:i], *tokens[i + 1 :]]) for i in range(len(tokens))]


def _gradients(tower: TextTower, direction: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines with the direction (N), and their gradients with respect to vectors (N x L x E)."""
    with torch.inference_mode(mode=False), torch.enable_grad():
        vectors = vectors.clone().requires_grad_()
        scores = tower.embed_vectors(vectors) @ functional.normalize(direction.clone(), dim=0)
        (gradient,) = torch.autograd.grad(scores.sum(), vectors)
    return scores.detach(), gradient
