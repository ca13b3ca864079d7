"""How other people's errors are quoted in ours."""

from __future__ import annotations


def quoted(error: Exception) -> str:
    """Return what an error says, on one line and not too long."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:300]} ..."
    return f"{type(error).__name__}: {text}".rstrip(" .:")
