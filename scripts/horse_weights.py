"""Train the network of `deeptroubles planted horse` that comes with the package: `python scripts/horse_weights.py`."""

from __future__ import annotations

from safetensors.torch import save_file

from deeptroubles.planted import STRENGTH
from deeptroubles.planted.horse import WEIGHTS, train_horse


def main() -> None:
    """Write the weights, and the two accuracies that say how much the network relies on the tag."""
    planted = train_horse(STRENGTH, seed=0)
    accuracy = {"aligned": str(planted.aligned), "randomized": str(planted.randomized)}
    weights = {name: value.contiguous() for name, value in planted.classifier.module.state_dict().items()}
    save_file(weights, WEIGHTS, accuracy)


if __name__ == "__main__":
    main()
