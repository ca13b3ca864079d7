"""The training loop: Adam with a one-cycle learning rate, and a checkpoint after every epoch."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deeptroubles.progress import track
from deeptroubles.run.files import write_whole

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Takes the network, inputs (n x C x H x W) and classes (n), and gives the mean loss."""
Scores = dict[str, float]
"""What is known about an epoch, such as its `validation loss`."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long, how fast, and how much at once.

    Attributes:
        epochs: Passes over the images.
        batch: Images per step; those left over at the end of an epoch are left out.
        peak: The highest learning rate of layers that are new.
        peak_of_trained: The highest learning rate of layers that were trained before.
        decay: Weight decay.
        patience: Epochs without a lower validation loss after which it stops.
    """

    epochs: int = 8
    batch: int = 64
    peak: float = 8e-3
    peak_of_trained: float = 8e-4
    decay: float = 1e-5
    patience: int | None = None


def cross_entropy(network: nn.Module, inputs: Tensor, classes: Tensor) -> Tensor:
    """The mean cross-entropy."""
    return functional.cross_entropy(network(inputs), classes)


def fit(
    network: nn.Module,
    inputs: Callable[[Tensor], Tensor],
    classes: Tensor,
    schedule: Schedule,
    *,
    new: Sequence[nn.Parameter] | None = None,
    loss: Loss = cross_entropy,
    validate: Callable[[], Scores] | None = None,
    checkpoint: Path | None = None,
) -> list[Scores]:
    """Train the parameters of a network that require gradients; afterwards it has the weights of its best epoch.

    Random draws come from the global generator, whose state is kept in the checkpoint: a training that was killed is
    resumed after its last whole epoch and ends with the same weights.

    Args:
        network: Maps inputs to logits. Layers without trained parameters, such as frozen normalization, stay in eval
            mode.
        inputs: Gives the inputs of some rows, on the network's device, augmented anew at every call.
        classes: N, the class of each image, on the network's device.
        schedule: How it is trained.
        new: Parameters that were not trained before. Default: all.
        loss: The mean loss of some images.
        validate: Scores the network after an epoch; the lowest `validation loss` decides which epoch is best. Default:
            the last one is.
        checkpoint: The file from which a killed training is resumed. Default: none is written.

    Returns:
        The scores of every epoch, with `training loss`.
    """
    batch = min(schedule.batch, len(classes))
    steps = len(classes) // batch
    groups = _groups(network, new, schedule)
    optimizer = torch.optim.Adam(groups, 1e-3, weight_decay=schedule.decay)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [group["peak"] for group in groups], total_steps=schedule.epochs * steps
    )
    state = _State(network, optimizer, cycle)
    if checkpoint and checkpoint.is_file():
        state.restore(checkpoint)
    with closing(track(range(len(state.scores) * steps, schedule.epochs * steps), "Training")) as left:
        for _ in range(len(state.scores), schedule.epochs):
            if schedule.patience is not None and state.waited >= schedule.patience:
                break
            _train_mode(network)
            total = torch.zeros((), device=classes.device)
            for rows in torch.split(torch.randperm(len(classes)).to(classes.device), batch)[:steps]:
                next(left, None)
                optimizer.zero_grad()
                with _mixed_precision(classes.device):
                    value = loss(network, inputs(rows), classes[rows])
                value.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                cycle.step()
                total += value.detach()
            network.eval()
            state.add({"training loss": total.item() / steps, **(validate() if validate else {})})
            if checkpoint:
                state.keep(checkpoint)
    network.zero_grad()
    network.eval()
    if state.best:
        network.load_state_dict(state.best)
    return state.scores


class _State:
    """The state of a training, and its checkpoint."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, cycle: Any) -> None:
        self._parts = {"network": network, "optimizer": optimizer, "cycle": cycle}
        self.scores: list[Scores] = []
        self.best: dict[str, Tensor] = {}

    @property
    def waited(self) -> int:
        """How many epochs ago the validation loss was lowest; 0 where nothing is validated."""
        losses = [each["validation loss"] for each in self.scores if "validation loss" in each]
        return len(losses) - 1 - losses.index(min(losses)) if losses else 0

    def add(self, scores: Scores) -> None:
        """The scores of another epoch; the best weights are kept."""
        self.scores.append(scores)
        if "validation loss" in scores and self.waited == 0:
            self.best = copy.deepcopy(self._parts["network"].state_dict())

    def keep(self, checkpoint: Path) -> None:
        """Write everything that the next epoch depends on."""
        buffer = io.BytesIO()
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        torch.save(
            {**parts, "scores": self.scores, "best": self.best, "random": torch.get_rng_state(), "cuda": cuda}, buffer
        )
        write_whole(checkpoint, buffer.getvalue())

    def restore(self, checkpoint: Path) -> None:
        """Go back to what a checkpoint holds."""
        held = torch.load(checkpoint, map_location="cpu", weights_only=True)
        for name, part in self._parts.items():
            part.load_state_dict(held[name])
        self.scores, self.best = held["scores"], held["best"]
        torch.set_rng_state(held["random"])
        if held["cuda"]:
            torch.cuda.set_rng_state_all(held["cuda"])


def _groups(network: nn.Module, new: Sequence[nn.Parameter] | None, schedule: Schedule) -> list[dict[str, Any]]:
    """The trained parameters, with the highest learning rate of each group."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if new is None:
        return [{"params": trained, "peak": schedule.peak}]
    fresh = {id(parameter) for parameter in new}
    groups = [
        {"params": [p for p in trained if id(p) in fresh], "peak": schedule.peak},
        {"params": [p for p in trained if id(p) not in fresh], "peak": schedule.peak_of_trained},
    ]
    return [group for group in groups if group["params"]]


def _train_mode(network: nn.Module) -> None:
    """Training mode for all but the layers whose parameters are all frozen."""
    network.train()
    for layer in network.modules():
        own = list(layer.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            layer.training = False


def _mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    """On a GPU layers compute in bfloat16, which needs no scaling of gradients; weights stay in single precision."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()
