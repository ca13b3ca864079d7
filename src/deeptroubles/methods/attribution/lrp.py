"""Layer-wise relevance propagation (LRP): the logit distributed over the pixels, layer by layer (Bach et al., 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from torch import Tensor, fx

from deeptroubles.classifier import Classifier
from deeptroubles.display import Brief
from deeptroubles.errors import UsageError, nearest
from deeptroubles.methods.attribution.shared import lrp_rules
from deeptroubles.methods.attribution.shared.graph_walk import WEIGHTED, GraphWalk, open_graph, walked_together
from deeptroubles.methods.attribution.shared.lrp_operations import Shares, Step, propagate
from deeptroubles.methods.parameters import NonNegative
from deeptroubles.methods.targets import Images, Targets, as_batch, target_score, targets_of
from deeptroubles.network import TracedNetwork, fuse_batch_norm, operation_name

RuleName = Literal["composite", "epsilon", "gamma", "alpha_beta"]
RULES: tuple[RuleName, ...] = ("composite", "epsilon", "gamma", "alpha_beta")
_READOUT = {"log", "clamp_min", "clamp", "mul", "div"}


@dataclass(frozen=True, repr=False)
class Relevance(Brief):
    """How the score is distributed: `maps.sum((1, 2))` plus everything absorbed is the score.

    Attributes:
        maps: Relevance of the pixels, N x H x W, summed over the color channels.
        score: The score that was distributed, N.
        absorbed: Relevance absorbed by biases, other constants and the stabilizer epsilon, N per kind of operation.
    """

    maps: Tensor
    score: Tensor
    absorbed: dict[str, Tensor]

    @property
    def conservation(self) -> Tensor:
        """The share of the score that reaches the pixels, N. 1 means that nothing is absorbed."""
        return self.maps.sum((1, 2)) / self.score


def lrp(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    rule: RuleName = "composite",
    epsilon: NonNegative = 0.25,
    gamma: NonNegative = 0.25,
    alpha: Annotated[float, Ge(1)] = 1.0,
) -> Tensor:
    """Map of the target's logit, distributed over the pixels from the last layer to the first.

    Batch normalizations are fused with the layer before them; those without one are layers of their own. Activations
    pass relevance on. Maxima pass it to the maximum. Sums (skips), means and layer normalizations split it
    proportionally, with epsilon; standard deviations count as constants. In products the signal gets all relevance and
    the gate none (squeeze-and-excitation, layer scale). Attention follows AttnLRP: products of two signals give half to
    each, and a softmax is expanded to first order. The input normalization passes relevance on: the relevance of a
    pixel is that of its normalized value, which is 0 for the mean color (except with z-box).

    Args:
        classifier: The classifier. If it returns probabilities, the logits before its softmax are explained.
        images: N x C x H x W (or C x H x W), in [0, 1].
        target: Class index, for all images or one each. Default: the predicted class of each image.
        against: Explain the target's logit minus the logit of this class. Default: the target's logit alone.
        rule: For layers with weights. `composite`: z-box at the first layer (its bounds are black and white), gamma in
            the first half of the convolutions, epsilon after that. `epsilon`, `gamma`, `alpha_beta`: in all layers.
        epsilon: Stabilizer, as a share of the root mean square of a layer's outputs. With `rule="epsilon"`, 0 is
            gradient times input on ReLU networks.
        gamma: Extra weight of contributions that have the sign of the output.
        alpha: Weight of positive contributions in `alpha_beta`; beta is alpha - 1. A negative logit gives a negative
            map with alpha = 1.

    Returns:
        N x H x W, raw and signed, in logits.

    Raises:
        ModelError: The model cannot be traced, or contains an operation without a rule.
        UsageError: The target is not a class, or a setting is out of range.

    References:
        S. Bach et al.: On Pixel-Wise Explanations, PLoS ONE 10(7), 2015, equations 58 and 60. G. Montavon et al.:
        Layer-Wise Relevance Propagation: An Overview, in Explainable AI, 2019, sections 10.2 and 10.3 (gamma for
        outputs of both signs: see `lrp_rules`). R. Achtibat et al.: AttnLRP, ICML 2024, section 3.
    """
    return lrp_relevance(
        classifier, images, target, against=against, rule=rule, epsilon=epsilon, gamma=gamma, alpha=alpha
    ).maps


def lrp_relevance(
    classifier: Classifier,
    images: Images,
    target: Targets = None,
    *,
    against: Targets = None,
    rule: RuleName = "composite",
    epsilon: float = 0.25,
    gamma: float = 0.25,
    alpha: float = 1.0,
) -> Relevance:
    """The maps of `lrp`, with the relevance that each kind of operation absorbs. Arguments as in `lrp`."""
    settings = _Settings(rule, epsilon, gamma, alpha)
    batch = as_batch(classifier, images)
    network = open_graph(classifier, "LRP", "Grad-CAM or occlusion")
    with torch.inference_mode(mode=False):
        fused = fuse_batch_norm(network)
        parts = [
            _Walk(fused, batch[rows].clone(), settings).distribute(
                target_score(classifier, targets_of(target, rows), targets_of(against, rows))
            )
            for rows in walked_together(network, len(batch))
        ]
    return Relevance(
        torch.cat([part.maps for part in parts]),
        torch.cat([part.score for part in parts]),
        {kind: torch.cat([part.absorbed[kind] for part in parts]) for kind in parts[0].absorbed},
    )


@dataclass(frozen=True)
class _Settings:
    rule: str
    epsilon: float
    gamma: float
    alpha: float

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError(
                f"There is no LRP rule {self.rule!r}.{nearest(self.rule, RULES)} Choose {', '.join(RULES)}."
            )
        if self.epsilon < 0 or self.gamma < 0 or self.alpha < 1:
            raise UsageError("LRP needs epsilon >= 0, gamma >= 0 and alpha >= 1.")


class _Walk(GraphWalk):
    """A walk that distributes relevance, and keeps how much each kind of operation absorbs."""

    def __init__(self, network: TracedNetwork, pixels: Tensor, settings: _Settings) -> None:
        super().__init__(network, pixels)
        self.network, self.settings = network, settings
        self.absorbed: dict[str, Tensor] = {}
        convolutions = [n for n in self.signals if operation_name(n) == "conv2d"]
        upper = convolutions[len(convolutions) // 2 :]
        order = list(self.signals)
        self.lower = set(order[: order.index(upper[0])]) if upper else set()

    def distribute(self, score: Any) -> Relevance:
        """Distribute the score over the pixels."""
        last = self._last()
        output: Tensor = self.values[last]
        explained = score(output)
        start = output * lrp_rules.vjp(score, [output], torch.ones_like(explained))[0]
        maps = self.back_from(last, start, propagate).sum(1)
        return Relevance(maps, explained.detach(), self.absorbed)

    def account(self, step: Step, shares: Shares) -> None:
        """Note the relevance that the step did not pass on."""
        lost = self._per_image(step.relevance)
        for part in shares.values():
            lost = lost - self._per_image(part)
        kind = operation_name(step.node)
        self.absorbed[kind] = self.absorbed.get(kind, 0.0) + lost

    def _last(self) -> fx.Node:
        """The last node, before a (log-)softmax whose output is only scaled, bounded or put into a logarithm."""
        node = above = self.logits
        while operation_name(above) in _READOUT:
            above = above.all_input_nodes[0]
        return above.all_input_nodes[0] if "softmax" in operation_name(above) else node

    def step(self, node: fx.Node, signal: Tensor) -> Step:
        """A node with the relevance of its output and its rule."""
        source = node.args[0] if operation_name(node) == "getitem" else node
        known = node in self.preprocessing
        return Step(node, self.values, self.signals, signal, self._rule(source), self.settings.epsilon, known)

    def _rule(self, node: Any) -> lrp_rules.Rule:
        settings = self.settings
        epsilon = partial(lrp_rules.epsilon, epsilon=settings.epsilon)
        gamma = partial(lrp_rules.gamma, gamma=settings.gamma)
        if settings.rule == "alpha_beta":
            return partial(lrp_rules.alpha_beta, alpha=settings.alpha)
        if settings.rule == "epsilon":
            return epsilon
        if settings.rule == "gamma":
            return gamma
        first = next((n for n in node.all_input_nodes if n in self.preprocessing), None)
        if first and operation_name(node) in WEIGHTED:
            low, high = self._bounds(first)
            return partial(lrp_rules.z_box, low=low, high=high)
        return gamma if node in self.lower else epsilon

    def _bounds(self, node: fx.Node) -> tuple[Tensor, Tensor]:
        """The range of the first layer's input: its values for black and for white."""
        black, white = (self.network.values(torch.full_like(self.pixels[:1], v), [node])[node] for v in (0.0, 1.0))
        return torch.minimum(black, white), torch.maximum(black, white)

    def _per_image(self, values: Tensor) -> Tensor:
        return values.reshape(len(self.pixels), -1).sum(1)  # a value may be one number per image
