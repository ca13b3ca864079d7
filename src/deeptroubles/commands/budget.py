"""What `--budget` means."""

from __future__ import annotations

import re

from deeptroubles.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def read_budget(text: str) -> float | None:
    """Seconds from a time such as 90s, 10m, 1.5h or 1d; None for `none`. Raises UsageError."""
    if text.strip().lower() == "none":
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip().lower())
    if not found or not float(found[1]):
        raise UsageError(f"--budget {text!r} is not a time; give something like 90s, 10m or 2h, or none.")
    return float(found[1]) * _UNITS[found[2]]
