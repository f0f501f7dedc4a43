"""`hanok demo`."""

from __future__ import annotations


def demo() -> None:
    """Run the model that ships with hanok on its sample data, and write the HTML report."""
    raise NotImplementedError
