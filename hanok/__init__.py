"""hanok: an open NPU, from its gates to its data centre."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanok.api import Chip, CompiledModel, HanokError, Result, compile, language_model, load

__all__ = ["Chip", "CompiledModel", "HanokError", "Result", "compile", "language_model", "load"]


def __getattr__(name: str) -> Any:
    """Import the interface at first use, so that `import hanok` and `hanok --help` are quick."""
    if name in __all__:
        return getattr(import_module("hanok.api"), name)
    raise AttributeError(f"module 'hanok' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
