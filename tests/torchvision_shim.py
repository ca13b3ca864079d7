"""Make torchvision importable where its compiled part does not fit the installed torch (it has no CPU wheel on PyPI).

Its Python parts need only that some operators are declared; the models and transforms used in tests never call them.
"""

import importlib

import torch


def declare_operators():
    """Declare the operators that `import torchvision` looks up, where its compiled part could not."""
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        return
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
