"""What a network returns, and how it becomes logits.

Networks return logits, probabilities of classes that exclude each other (softmax), or one probability per class
(sigmoid). Which of these it is shows in the values. A single output is a network of two classes: its one number says
how strongly the second class is preferred.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

import torch
from torch import Tensor

Outputs = Literal["logits", "probabilities", "sigmoid"]
OUTPUTS: tuple[Outputs, ...] = get_args(Outputs)

_SAME_SUM = 1e-3
_ABOUT_1 = 0.05
_SQUASHING = {"Sigmoid", "Softmax", "Tanh", "Hardsigmoid", "Clamp", "Exp", "Erf", "Atan"}
_WEIGHTED = {"Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "MkldnnConvolution"}
_CERTAIN = 2.0**-24
"""Sigmoids are kept this far from 0 and 1, so that their logits are finite. It is half the distance from 1 to the
number below it in single precision."""


def recognize(values: Tensor, *, squashed: bool | None = None) -> Outputs:
    """Decide from the values which kind of outputs they are.

    Args:
        values: N x M, what the network returned for N images.
        squashed: Whether the network's last operations bound its outputs; None if that is not known.

    Returns:
        `probabilities` if no value is negative and all rows have the same sum, which is about 1 or bounded by the
        network (100 for percentages); `sigmoid` if all values are in [0, 1]
        and the network bounds them (if that is not known: and there is one output, or values on both sides of 0.5);
        `logits` otherwise.
    """
    if not len(values) or values.min() < 0:
        return "logits"
    single, high = values.shape[1] == 1, values.max()
    if not single and _same_sums(values) and (squashed is not False or abs(values.sum(1).mean() - 1) < _ABOUT_1):
        return "probabilities"
    if squashed is None:
        squashed = single or bool(values.min() < 0.5 < high)
    return "sigmoid" if squashed and high <= 1 else "logits"


def squashes(values: Tensor) -> bool | None:
    """Whether a function that bounds its output (sigmoid, softmax, ...) stands after the last layer with weights.

    Args:
        values: What a network returned, with the history that autograd keeps. It is read and not changed.

    Returns:
        None if there is no history, or if it ends in functions that autograd does not know.
    """
    waiting, seen, known = [values.grad_fn], set(), values.grad_fn is not None
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        kind = re.fullmatch(r"(?:torch::autograd::)?(\w+?)(?:Backward\d+)?", step.name())
        if kind and kind[1] in _SQUASHING:
            return True
        if not kind or kind[1] not in _WEIGHTED:
            known = known and kind is not None and not kind[1].endswith("Backward")  # of PyTorch, they end in a digit
            waiting += [before for before, _ in step.next_functions]
    return False if known else None


def contradiction(values: Tensor, outputs: Outputs) -> str:
    """What the values (N x M) say against a kind of outputs; '' if nothing."""
    if outputs == "probabilities" and (values.shape[1] == 1 or values.min() < 0 or not _same_sums(values)):
        return "The model does not return probabilities (rows of the same sum, none negative)"
    if outputs == "sigmoid" and (values.min() < 0 or values.max() > 1):
        return f"The model does not return sigmoids (numbers in [0, 1]) but numbers from {_range(values)}"
    return ""


def to_logits(values: Tensor, outputs: Outputs) -> Tensor:
    """Turn what a network returned into logits.

    Probabilities become their logarithm, so that their softmax is the probabilities again, whatever their common sum.
    A sigmoid p becomes log(p / (1 - p)). The softmax of several of these is the probability that a class is the only
    one present, given that exactly one is and that the sigmoids are independent. A single output z becomes -z / 2 and
    z / 2: the softmax of these is the sigmoid of z.

    Args:
        values: N x M, differentiable.
        outputs: What the values are.

    Returns:
        N x M, or N x 2 for a single output.
    """
    if outputs == "probabilities":
        values = torch.log(values.clamp_min(torch.finfo(values.dtype).tiny))
    elif outputs == "sigmoid":
        values = torch.logit(values, _CERTAIN)
    return torch.cat([-0.5 * values, 0.5 * values], dim=1) if values.shape[1] == 1 else values


def describe(values: Tensor, outputs: Outputs, *, declared: bool) -> str:
    """Say in one or two sentences what was seen in the values (N x M) and how it is read; '' for plain logits."""
    single = values.shape[1] == 1
    if outputs == "logits" and not single:
        return ""
    if outputs == "probabilities":
        sums = values.sum(1).mean()
        seen = f"In every row no output is negative and the sum is {sums:.3g}"
        read = "the outputs are read as probabilities, and their logarithms as logits"
    elif single:
        seen = f"The model has one output, from {_range(values)}"
        kind = "the probability" if outputs == "sigmoid" else "the logit"
        read = f"it is read as {kind} of the second of two classes"
    else:
        several, none = ((values > 0.5).sum(1) > 1, (values > 0.5).sum(1) == 0)
        seen = (
            f"The outputs are from {_range(values)} with different sums; more than one is above 0.5 for "
            f"{int(several.sum())} of {len(values)} images, and none for {int(none.sum())}"
        )
        read = (
            "they are read as independent sigmoids, and the probability of a class is that it is the only one present"
        )
    other = " or ".join(kind for kind in OUTPUTS if kind != outputs and not contradiction(values, kind))
    change = (
        "" if declared or not other else f" If that is wrong, say outputs={other} (on the command line: --outputs)."
    )
    return f"{seen}: {read}.{change}"


def _same_sums(values: Tensor) -> bool:
    """Whether all rows have the same positive sum. Where all rows are the same, only a sum of 1 means something."""
    sums = values.double().sum(1)
    wanted = sums.mean() if len(values) > 1 and not torch.allclose(values, values[:1]) else torch.ones_like(sums[0])
    return bool(wanted > 0) and bool(((sums - wanted).abs() <= _SAME_SUM * wanted).all())


def _range(values: Tensor) -> str:
    return f"{values.min():.3g} to {values.max():.3g}"
