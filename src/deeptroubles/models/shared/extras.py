"""Optional packages: imported where they are needed, with one sentence when they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from deeptroubles.errors import ModelError
from deeptroubles.models.shared.wording import quoted


def import_extra(package: str, extra: str) -> Any:
    """Import an optional package, or say how to install it."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModelError(
            f'This model needs {error.name or package}, which is not installed: pip install "deeptroubles[{extra}]".'
        ) from error
    except Exception as error:  # for instance a torchvision that was built for another torch
        raise ModelError(
            f"The installed {package} cannot be imported ({quoted(error)}); its version may not fit that of torch. "
            f'Try: pip install --upgrade "deeptroubles[{extra}]".'
        ) from error
