"""The fallback for models that cannot be traced: recording and gradients through module hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from deeptroubles.classifier import Classifier, evaluating
from deeptroubles.errors import NeedsGraphError
from deeptroubles.network.differentiation import gradients_of
from deeptroubles.network.layers import LOGITS, PIXELS, Layer, LayerTable, Recorded, Score
from deeptroubles.network.positions import Grid, plain_grid


class HookedNetwork:
    """A classifier whose layers are its modules. Hooks exist only during a call.

    Of a module that is called several times, only the last call is recorded.
    """

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.device = classifier.device
        pixels = classifier.mean.new_full((2, classifier.channels, *classifier.size), 0.5)
        kinds = dict(classifier.module.named_modules())
        # TorchScript has no hooks: its modules are no layers, but gradients with respect to the pixels need none.
        modules = [name for name, m in kinds.items() if name and not isinstance(m, torch.jit.ScriptModule)]
        with torch.no_grad(), self._hooked(modules) as seen:
            classifier(pixels)
        self.table = LayerTable([Layer(n, tuple(v.shape[1:]), type(kinds[n]).__name__) for n, v in seen.items()])

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, in the order in which they are computed."""
        return self.table.layers

    def layer(self, name: str) -> Layer:
        """The layer of that name, or `logits`. Raises ModelError with the nearest names when there is none."""
        return Layer(LOGITS, (self.classifier.classes,), "logits") if name == LOGITS else self.table[name]

    def grid(self, layer: str) -> Grid | None:
        """How the positions of a layer are arranged, going by its shape: only channels x height x width is known."""
        found = self.layer(layer)
        return plain_grid(*found.shape[1:]) if found.is_spatial else None

    @property
    def last_with_positions(self) -> Layer:
        """The deepest layer that has positions; see `TracedNetwork.last_with_positions`."""
        return self.table.last_spatial()

    def __call__(self, pixels: Tensor) -> Tensor:
        """Pixels (N x C x H x W) to logits (N x K), differentiable with respect to the pixels."""
        with evaluating(self.classifier):
            logits: Tensor = self.classifier(pixels)
        return logits

    def activations(self, pixels: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """The outputs of layers, differentiable with respect to the pixels; see `TracedNetwork.activations`."""
        return dict(self._forward(pixels, layers).activations)

    def record(self, pixels: Tensor, layers: Sequence[str]) -> Recorded:
        """One forward pass that keeps the outputs of `layers`; see `TracedNetwork.record`."""
        with torch.no_grad():
            return self._forward(pixels, layers)

    def gradients(self, pixels: Tensor, layers: Sequence[str], score: Score) -> tuple[Recorded, dict[str, Tensor]]:
        """Gradients of a score with respect to layers; see `TracedNetwork.gradients`."""
        with torch.inference_mode(mode=False), torch.enable_grad():
            recorded = self._forward(pixels.detach().clone().requires_grad_(), layers)
            kept = [recorded.activations[name] for name in layers]
            gradients = gradients_of(score(recorded.logits), kept)
        plain = Recorded(recorded.logits.detach(), {k: v.detach() for k, v in recorded.activations.items()})
        return plain, dict(zip(layers, gradients, strict=True))

    def with_rule(self, operation: str, rule: Callable[..., Tensor]) -> NoReturn:
        """Not available without the graph."""
        raise self._needs_graph(f"Replacing the rule of {operation}", "Grad-CAM or occlusion")

    def receptive_field(self, layer: str) -> NoReturn:
        """Not available without the graph."""
        raise self._needs_graph(f"The receptive field of {layer}", "the support of `gradients(..., ['pixels'], ...)`")

    def _needs_graph(self, what: str, instead: str) -> NeedsGraphError:
        return NeedsGraphError(
            f"{what} needs the traced graph, and {self.classifier.name} could not be traced; use {instead} instead."
        )

    def _forward(self, pixels: Tensor, layers: Sequence[str]) -> Recorded:
        names = [self.table[name].name for name in layers if name not in {PIXELS, LOGITS}]
        with self._hooked(names) as seen:
            logits = self.classifier(pixels)
        ends = {PIXELS: pixels, LOGITS: logits}
        return Recorded(logits, {name: ends[name] if name in ends else seen[name] for name in layers})

    @contextmanager
    def _hooked(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Collect the outputs of modules during the block, in the order in which they are computed."""
        seen: dict[str, Tensor] = {}
        modules = dict(self.classifier.module.named_modules())

        def keep(name: str) -> Callable[[nn.Module, Any, Any], Any]:
            def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                if not isinstance(output, Tensor):
                    return None
                seen.pop(name, None)
                seen[name] = output
                # A following in-place operation would change the recorded tensor; let it change a copy.
                return output.clone()

            return hook

        handles = [modules[name].register_forward_hook(keep(name)) for name in names]
        try:
            with evaluating(self.classifier):
                yield seen
        finally:
            for handle in handles:
                handle.remove()
