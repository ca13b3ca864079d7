"""Programs written by `torch.export.save` (`.pt2`).

Loading one can run code that is inside the file: `torch.export.load` unpickles custom objects and, where tensors were
pickled, reads them without `weights_only`. So a `.pt2` file deserves the trust of a program, not that of a picture.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.wording import quoted

HOW_TO_EXPORT = (
    "Export the PyTorch model with a dynamic batch: torch.export.save(torch.export.export(model.eval(), "
    "(torch.zeros(2, 3, 224, 224),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)), 'model.pt2')."
)


def load(name: str, overrides: Overrides) -> Classifier:
    """Load the program; the size and the channels of its input come along when they are fixed in it."""
    path = Path(name)
    program = _read(path)
    batch, channels, height, width = _input_shape(path, program)
    if isinstance(batch, int):
        raise ModelError(f"{path} takes exactly {batch} image(s) at a time. {HOW_TO_EXPORT}")
    known: dict[str, Any] = {"name": path.stem}
    if isinstance(channels, int):
        known["channels"] = channels
    if isinstance(height, int) and isinstance(width, int):
        known["size"] = (height, width)
    return build(program.module(), known, overrides)


def load_module(name: str) -> nn.Module:
    """Load the program."""
    return _read(Path(name)).module()


def _read(path: Path) -> torch.export.ExportedProgram:
    if not path.is_file():
        raise ModelError(f"There is no file {path}.")
    if not zipfile.is_zipfile(path):
        raise ModelError(f"{path} was not written by torch.export.save, or is damaged. {HOW_TO_EXPORT}")
    try:
        return torch.export.load(path)
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded with torch {torch.__version__} ({quoted(error)}); export it again "
            f"with this version. {HOW_TO_EXPORT}"
        ) from error


def _input_shape(path: Path, program: torch.export.ExportedProgram) -> tuple[Any, ...]:
    """Return batch, channels, height and width: a number where it is fixed, a symbol where it may change."""
    inputs = [n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs]
    shape = tuple(inputs[0].meta["val"].shape) if len(inputs) == 1 else ()
    if len(shape) != 4:
        raise ModelError(f"{path} does not take one batch of images (N x C x H x W) as its only input.")
    return shape


SOURCE = Source(
    form="FILE.pt2",
    what="a program written by torch.export.save, with a dynamic batch",
    brings="weights, input size, channels",
    runs_code=True,
    pattern=r"(?i:(.+\.pt2))",
    load=load,
    module=load_module,
)
