"""`hanok inspect`: what is in a program: summary, memory map, and assembly with the origin of each line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_DEFAULT_LIMIT = 200


def inspect_command(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM", help="A .hanok program.")],
    layer: Annotated[
        str,
        typer.Option(
            "--layer", metavar="NUMBER|NAME", help="Only the instructions of this layer.", show_default=False
        ),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=0, help="Most lines of assembly; 0 for all.")
    ] = _DEFAULT_LIMIT,
) -> None:
    """Show a compiled program: summary, memory map, assembly and the ONNX node of every instruction."""
    from hanok.isa import load_program
    from hanok.report.listing import listing

    for line in listing(load_program(program), layer=layer, limit=limit):
        sys.stdout.write(line + "\n")
