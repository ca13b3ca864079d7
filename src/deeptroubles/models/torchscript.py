"""TorchScript programs (`.ts`, `.torchscript`, `.pt`), written by `torch.jit.save`.

Loading one and asking it runs the code in the file, in TorchScript's own interpreter.
Other `.pt` and `.pth` files hold pickled Python objects, whose loading runs any code; they are refused unread.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import torch
from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.weights import how_to_build
from deeptroubles.models.shared.wording import quoted


def load(name: str, overrides: Overrides) -> Classifier:
    """Load the program; it does not know the size of its input."""
    return build(load_module(name), {"name": Path(name).stem}, overrides)


def load_module(name: str) -> nn.Module:
    """Load the program."""
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"There is no file {path}.")
    if not _is_torchscript(path):
        raise ModelError(
            f"{path} is not a TorchScript program; it holds weights or a pickled object, and neither can be used "
            f"alone. {how_to_build(path)}"
        )
    try:
        module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ModelError(f"{path} cannot be loaded as TorchScript ({quoted(error)}); save it again.") from error
    return module.eval()


def _is_torchscript(path: Path) -> bool:
    """Look for code in the archive, by the names of its entries alone."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in entry for entry in archive.namelist())


SOURCE = Source(
    form="FILE.ts",
    what="a TorchScript program written by torch.jit.save (also .torchscript and .pt)",
    brings="weights; size must be given",
    runs_code=True,
    pattern=r"(?i:(.+\.(?:ts|torchscript|pt|pth)))",
    load=load,
    module=load_module,
)
