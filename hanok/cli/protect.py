"""`hanok protect`: the commands of sealed and traceable deliveries, each in a module of its own."""

from __future__ import annotations

from typing import Any

import typer

from hanok.cli import protect_bundle, protect_compare, protect_keys, protect_log, protect_marks
from hanok.cli.errors import guarded

HELP = "Seal deliveries, trace leaks, recognise clones, and keep a record that cannot be altered."


def build_protect(context: dict[str, Any]) -> typer.Typer:
    """Return the group of commands."""
    group = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=context)
    group.command("secret")(guarded(protect_marks.secret_command))
    group.command("mark")(guarded(protect_marks.mark_command))
    group.command("trace")(guarded(protect_marks.trace_command))
    group.command("keygen")(guarded(protect_keys.keygen))
    group.command("recipients")(guarded(protect_keys.recipients))
    group.command("seal")(guarded(protect_bundle.seal_command))
    group.command("open")(guarded(protect_bundle.open_command))
    group.command("inspect")(guarded(protect_bundle.inspect_command))
    group.command("acknowledge")(guarded(protect_log.acknowledge_command))
    log = typer.Typer(
        help=protect_log.HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=context
    )
    for name, command in (
        ("create", protect_log.create_command),
        ("append", protect_log.append_command),
        ("verify", protect_log.verify_command),
        ("prove", protect_log.prove_command),
        ("export", protect_log.export_command),
        ("head", protect_log.head_command),
        ("list", protect_log.list_command),
    ):
        log.command(name)(guarded(command))
    group.add_typer(log, name="log")
    group.command("compare")(guarded(protect_compare.compare_command))
    return group
