"""Expectation over transformations: follow the mean gradient over random views, new at every step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from deeptroubles.classifier import Classifier
from deeptroubles.methods.attacks.shared.goal import Goal
from deeptroubles.methods.attacks.shared.iterate import quick_gradient
from deeptroubles.methods.eight_bits import as_8_bit
from deeptroubles.statistics.intervals import Interval, wilson
from deeptroubles.subject import logits_of

Render = Callable[[Tensor, Tensor, torch.Generator], Tensor]
"""`render(content, rows, generator)`: the images `rows` with the content in them, each under a new random view."""


def ascend_expectation(
    classifier: Classifier,
    start: Tensor,
    render: Render,
    goal: Goal,
    *,
    penalty: Callable[[Tensor], Tensor] | None,
    keep: Callable[[Tensor], Tensor],
    steps: int,
    step_size: float,
    batch_size: int,
    generator: torch.Generator,
) -> Tensor:
    """Optimize content with Adam: the mean cross-entropy goal over views, minus the penalty.

    Args:
        classifier: The classifier.
        start: The first content.
        render: Puts the content into images.
        goal: The goal for each image. Images are used in turn.
        penalty: A scalar penalty of the content. Default: none.
        keep: Projects the content onto the allowed range, after every step.
        steps: Number of steps.
        step_size: Learning rate of Adam, in pixel values.
        batch_size: Views per step.
        generator: Random generator of the views.

    References:
        A. Athalye et al., Synthesizing robust adversarial examples, ICML 2018.
    """
    gradient_at = quick_gradient(classifier)
    with torch.inference_mode(mode=False):
        content = start.detach().clone().requires_grad_()
        adam = torch.optim.Adam([content], step_size)
        for step in range(steps):
            rows = turns(step, batch_size, len(goal.classes)).to(start.device)
            with torch.enable_grad():
                seen = render(content, rows, generator)
                _, gradient = gradient_at(seen.detach(), goal[rows], "cross_entropy", None)
                cost = penalty(content) if penalty else content.new_zeros(())
                loss = cost - (seen * gradient).sum() / len(rows)
                (content.grad,) = torch.autograd.grad(loss, [content])
            adam.step()
            with torch.no_grad():
                content.copy_(keep(content))
    return content.detach()


def turns(step: int, batch_size: int, count: int) -> Tensor:
    """The images that a step uses: all of them in turn."""
    return (step * batch_size + torch.arange(batch_size)) % count


def success_rate(
    classifier: Classifier, content: Tensor, render: Render, goal: Goal, views: int, seed: int, batch_size: int
) -> Interval:
    """The share of new views, rounded to 8 bits, that reach the goal, with its Wilson interval.

    The interval is over views of these images, not over images. The same seed gives the same views.
    """
    generator, hits = torch.Generator().manual_seed(seed), 0
    every = turns(0, views, len(goal.classes)).to(content.device)
    for rows in torch.split(every, batch_size):
        seen = as_8_bit(render(content, rows, generator))
        hits += int(goal[rows].reached(logits_of(classifier, seen, batch_size)).sum())
    return wilson(hits, views)
