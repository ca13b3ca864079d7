"""ONNX files, turned into torch modules."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from deeptroubles.classifier import Classifier
from deeptroubles.errors import ModelError
from deeptroubles.models.shared.extras import import_extra
from deeptroubles.models.shared.overrides import Overrides, build
from deeptroubles.models.shared.source import Source
from deeptroubles.models.shared.wording import quoted


def load(name: str, overrides: Overrides) -> Classifier:
    """Convert the graph; its input says the size and the channels where they are fixed."""
    path = Path(name)
    if not path.is_file():
        raise ModelError(f"There is no file {path}.")
    onnx = import_extra("onnx", "onnx")
    try:
        graph = onnx.load(str(path))
        onnx.checker.check_model(graph)
    except Exception as error:
        raise ModelError(f"{path} cannot be read as an ONNX model ({quoted(error)}); export it again.") from error
    return build(_converted(path, graph), {"name": path.stem, **_input(graph)}, overrides)


def load_module(name: str) -> nn.Module:
    """Convert the graph of a network that need not be a classifier."""
    return _converted(Path(name), import_extra("onnx", "onnx").load(name))


def _converted(path: Path, graph: object) -> nn.Module:
    try:
        module: nn.Module = import_extra("onnx2torch", "onnx").convert(graph)
    except Exception as error:
        raise ModelError(
            f"{path} has an operation that cannot be turned into torch ({quoted(error)}); export the torch model "
            "itself with torch.export, or give a function that builds it (package.module:function)."
        ) from error
    return module.eval()


def _input(graph: object) -> dict[str, object]:
    """Height, width and channels of the input, as far as the file fixes them."""
    values = graph.graph  # type: ignore[attr-defined]
    weights = {each.name for each in values.initializer}
    inputs = [each for each in values.input if each.name not in weights]
    if len(inputs) != 1:
        raise ModelError(f"The graph has {len(inputs)} inputs; an image classifier has one.")
    sides = [side.dim_value for side in inputs[0].type.tensor_type.shape.dim]
    if len(sides) != 4:
        raise ModelError(f"The graph's input has {len(sides)} dimensions; images have four (N x C x H x W).")
    known: dict[str, object] = {"channels": sides[1]} if sides[1] else {}
    return known | ({"size": (sides[2], sides[3])} if sides[2] and sides[3] else {})


SOURCE = Source(
    form="FILE.onnx",
    what="an ONNX model (opset and operations that onnx2torch knows), with a dynamic batch",
    brings="weights, input size",
    extra="onnx",
    pattern=r"(.+\.onnx)",
    load=load,
    module=load_module,
)
