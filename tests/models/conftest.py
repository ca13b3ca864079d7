import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

runpy.run_path(str(Path(__file__).parents[1] / "torchvision_shim.py"))["declare_operators"]()


class Tiny(nn.Module):
    """The smallest thing that is still a convolutional classifier, with a dropout that must not be active."""

    def __init__(self, classes: int = 3, channels: int = 3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.conv(x)).relu().mean((2, 3))))


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, whose Python modules are forgotten afterwards."""
    import sys

    known, path = set(sys.modules), list(sys.path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
