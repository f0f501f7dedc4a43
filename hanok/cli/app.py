"""The command table: names, order, and the options that every command shares."""

from __future__ import annotations

from typing import Annotated

import typer

from hanok.cli import (
    apps,
    area,
    chips,
    compile,
    cosim,
    demo,
    dram,
    fpga,
    inspect,
    protect,
    rtl,
    rules,
    rules_label,
    rules_leak,
    run,
)
from hanok.cli.errors import guarded

_HELP = """Run, time and explain ONNX models on an open NPU.

Start with `hanok demo`, then `hanok run MODEL.onnx`.
"""
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


def build_app() -> typer.Typer:
    """Return the application with all of its commands."""
    app = typer.Typer(
        name="hanok",
        help=_HELP,
        rich_markup_mode=None,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT,
    )
    app.callback()(_root)
    app.command("demo")(guarded(demo.demo))
    app.command("run")(guarded(run.run))
    app.command("compile")(guarded(compile.compile_command))
    app.command("inspect")(guarded(inspect.inspect_command))
    app.command("chips")(guarded(chips.chips))
    app.command("cosim")(guarded(cosim.cosim))
    app.command("rtl")(guarded(rtl.rtl_command))
    app.command("area")(guarded(area.area_command))
    app.command("fpga")(guarded(fpga.fpga_command))
    phone = typer.Typer(
        help=apps.HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=_CONTEXT
    )
    phone.command("photo")(guarded(apps.photo))
    phone.command("voice")(guarded(apps.voice))
    phone.command("translate")(guarded(apps.translate))
    phone.command("write")(guarded(apps.write))
    phone.command("all")(guarded(apps.all_jobs))
    app.add_typer(phone, name="app")
    memory = typer.Typer(
        help=dram.HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=_CONTEXT
    )
    memory.command("list")(guarded(dram.list_command))
    memory.command("run")(guarded(dram.run_command))
    app.add_typer(memory, name="dram")
    app.add_typer(protect.build_protect(_CONTEXT), name="protect")
    law = typer.Typer(help=rules.HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=_CONTEXT)
    law.command("export")(guarded(rules.export))
    law.command("ai-act")(guarded(rules.ai_act))
    law.command("leak")(guarded(rules_leak.leak))
    law.command("fairness")(guarded(rules.fairness))
    law.command("privacy")(guarded(rules.privacy))
    law.command("label")(guarded(rules_label.label))
    law.command("packs")(guarded(rules.packs_command))
    app.add_typer(law, name="rules")
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"hanok {version('hanok')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    pass
