"""Tests run side by side, so each of them computes on one core."""

import torch

from deeptroubles.memory import keep_freed_memory

keep_freed_memory()
torch.set_num_threads(1)
