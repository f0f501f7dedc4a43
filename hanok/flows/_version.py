"""Which hanok made a record."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def hanok_version() -> str:
    """Return the installed version."""
    try:
        return version("hanok")
    except PackageNotFoundError:
        return "from source"
