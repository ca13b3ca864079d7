"""Tests run side by side, so each of them computes on one core."""

import torch

torch.set_num_threads(1)
