"""What a unit answers to, in words: texts that point where a unit points, in a space that images and texts share.

For models with a text tower (CLIP and its relatives) only; every other model has the words that come with its images
(`words.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from deeptroubles.errors import UsageError
from deeptroubles.methods.parameters import Count


class TextTower(Protocol):
    """What puts texts into the space of images and texts.

    Attributes:
        layer: Name of the classifier's layer whose output is the embedding of the image, N x D, of any length.
        vocabulary: The tokens that texts may be made of.
        vectors: The vector with which each token enters the tower, V x E.
    """

    layer: str

    @property
    def vocabulary(self) -> Tensor: ...  # noqa: D102

    @property
    def vectors(self) -> Tensor: ...  # noqa: D102

    def tokens(self, text: str) -> list[int]:
        """A text as tokens."""

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as a text."""

    def embed(self, texts: Sequence[str]) -> Tensor:
        """T x D, of length 1."""

    def embed_vectors(self, vectors: Tensor) -> Tensor:
        """The same for tokens that need not exist: N x L x E to N x D, differentiable."""


class ScoredText(NamedTuple):
    """A text and its cosine with a unit's direction, in [-1, 1]."""

    text: str
    score: float


def unit_direction(activations: Tensor, embeddings: Tensor) -> Tensor:
    """Where a unit points among images: the mean of their embeddings weighted by activation, minus the plain mean.

        d = sum_i (a_i - mean a) e_i / |...|, with e_i of length 1

    which is, up to its length, the covariance of activation and embedding.

    It is a description, on these images: of a unit that answers to two things it gives the direction between them, it
    knows only differences that the images have, and what the joint embedding does not hold cannot be seen in it.

    Args:
        activations: R, or R x U for several units.
        embeddings: R x D, of any length.

    Returns:
        D (or U x D), of length 1.

    Raises:
        UsageError: A unit has the same activation on all images.
    """
    single = activations.ndim == 1
    centred = (activations[:, None] if single else activations).double()
    centred = centred - centred.mean(0)
    if len(centred) < 2 or bool((centred.abs().amax(0) == 0).any()):
        raise UsageError("A unit that answers the same to all images points nowhere; choose another, or other images.")
    directions = centred.T @ functional.normalize(embeddings.double(), dim=1)
    directions = functional.normalize(directions, dim=1).to(embeddings.dtype)
    return directions[0] if single else directions


def rank_texts(tower: TextTower, direction: Tensor, texts: Iterable[str]) -> list[ScoredText]:
    """Given texts by how strongly they excite a unit, strongest first.

    Images and texts lie in different parts of their space, so that cosines are small: compare them with each other.

    Args:
        tower: The text tower.
        direction: D, from `unit_direction`.
        texts: The texts.
    """
    return sorted(_score(tower, direction, list(texts)), key=lambda found: (-found.score, found.text))


def maximise_text(
    tower: TextTower,
    direction: Tensor,
    *,
    start: Sequence[str] = ("",),
    longest: int = 4,
    beam: int = 8,
    candidates: Count = 128,
    length_penalty: float = 0.0,
    steps: Count = 16,
) -> list[ScoredText]:
    """Texts that excite a unit most, found by a beam search that changes, inserts or drops one token at a time.

    The gradient with respect to the tokens' vectors says which changes promise most (a new token starts as the mean of
    all). These are written out as text and read again by the tokenizer; only the score of that text counts, and only
    such texts are returned. The search is greedy: better texts may exist. Texts are what the tower takes for the
    direction, so that they can be nonsense where it knows no word for it.

    Args:
        tower: The text tower.
        direction: D, from `unit_direction`.
        start: Texts to start from, besides the empty one, e.g. the class names.
        longest: How many tokens a text may have.
        beam: How many texts are kept from step to step, and returned.
        candidates: How many changes of each text are tried in a step.
        length_penalty: What each token costs, in cosine.
        steps: The most steps; it ends before when no text gets better.

    Returns:
        Texts and their cosines without the penalty, best first (with it).

    References:
        J. Ebrahimi, A. Rao, D. Lowd, D. Dou: HotFlip: white-box adversarial examples for text classification, ACL 2018.
        G. Goh et al.: Multimodal neurons in artificial neural networks, Distill 2021 (text feature visualization).
    """
    known: dict[str, ScoredText] = {}

    def worth(text: str) -> tuple[float, str]:
        return length_penalty * len(tower.tokens(text)) - known[text].score, text

    kept, fresh = list[str](), ["", *start]
    for _ in range(steps + 1):
        known |= {found.text: found for found in _score(tower, direction, [t for t in fresh if t not in known])}
        better = sorted({*kept, *fresh}, key=worth)[:beam]
        if better == kept:
            break
        kept = better
        changed = dict.fromkeys(text for each in kept for text in _changes(tower, direction, each, longest, candidates))
        fresh = [text for text in changed if text and len(tower.tokens(text)) <= longest]
    return [known[text] for text in kept if text]


def _score(tower: TextTower, direction: Tensor, texts: list[str]) -> list[ScoredText]:
    if not texts:
        return []
    with torch.no_grad():
        scores = tower.embed(texts) @ functional.normalize(direction, dim=0)
    return [ScoredText(text, score) for text, score in zip(texts, scores.tolist(), strict=True)]


def _changes(tower: TextTower, direction: Tensor, text: str, longest: int, candidates: int) -> list[str]:
    """The texts one token away that promise most, and those without one of the tokens."""
    tokens = tower.tokens(text)
    vectors, vocabulary = tower.vectors, tower.vocabulary
    slots, promises = list[list[int | None]](), list[Tensor]()
    if tokens:
        slots += [[*tokens[:i], None, *tokens[i + 1 :]] for i in range(len(tokens))]
        value, gradient = _gradients(tower, direction, vectors[tokens][None])
        gain = gradient[0] @ vectors[vocabulary].T - (gradient[0] * vectors[tokens]).sum(1, keepdim=True)
        promises.append(value + gain)
    if len(tokens) < longest:
        slots += [[*tokens[:i], None, *tokens[i:]] for i in range(len(tokens) + 1)]
        mean = vectors[vocabulary].mean(0)
        given = vectors[torch.tensor(tokens, dtype=torch.long)]
        longer = torch.stack([torch.cat([given[:i], mean[None], given[i:]]) for i in range(len(tokens) + 1)])
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
