"""The console that tables are printed on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

FILE_COLUMNS = 120
"""Width where the output is no terminal."""


def make_console() -> Console:
    """Return a console as wide as the terminal, or FILE_COLUMNS in a file or a pipe."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else FILE_COLUMNS, highlight=False)
