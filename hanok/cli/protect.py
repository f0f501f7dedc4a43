"""`hanok protect`: the commands of sealed and traceable deliveries, each in a module of its own."""

from __future__ import annotations

from typing import Any

import typer

from hanok.cli import protect_compare
from hanok.cli.errors import guarded

HELP = "Seal deliveries, trace leaks, recognise clones, and keep a record that cannot be altered."


def build_protect(context: dict[str, Any]) -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=context)
    group.command("compare")(guarded(protect_compare.compare_command))
    return group
