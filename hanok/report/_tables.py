"""What the terminal reports share: tables with a title, text without control characters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanok.report import text as _format

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def plain_text(content: str, style: str = "") -> RenderableType:
    """Return `content` as it stands, cleaned; square brackets are no markup."""
    from rich.text import Text

    return Text(_format.clean(content), style=style)


def titled_table(title: str) -> Table:
    """Return an empty table in the reports' style."""
    from rich import box
    from rich.table import Table

    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
        pad_edge=False,
    )
