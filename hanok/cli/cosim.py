"""`hanok cosim`: a program on the core in gates, held against emulator and engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanok.cli.options import DEFAULT_GATES_CHIP, InputsOption, SeedOption, read_inputs
from hanok.cli.progress import progress_line
from hanok.cli.run import program_of

EXIT_DIFFERENT = 1


def cosim(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="An .onnx model or a compiled .hanok program.")
    ],
    chip: Annotated[
        str,
        typer.Option(
            "--chip",
            "-c",
            metavar="NAME|FILE",
            help="A preset (see `hanok chips`) or a TOML file.",
            show_default=DEFAULT_GATES_CHIP,
        ),
    ] = "",
    inputs: InputsOption = None,
    seed: SeedOption = 0,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison as JSON.")
    ] = None,
) -> None:
    """Simulate the gates that run MODEL; exit code 1 if a bit or a cycle differs from the models."""
    from hanok.flows.rtl import check_tools
    from hanok.report import check_writable, write_whole
    from hanok.report.cosim import cosim_json, print_cosim

    check_tools()
    if json is not None:
        check_writable(json)
    with progress_line() as progress:
        program = program_of(model, chip, seed=seed, progress=progress, default_chip=DEFAULT_GATES_CHIP)
        from hanok.flows.cosim import cosimulate

        record = cosimulate(program, read_inputs(inputs or [], program), seed=seed, progress=progress)
        if json is not None:
            write_whole(json, cosim_json(record))
    from hanok.cli.console import make_console

    print_cosim(record, make_console())
    if not record.equal:
        raise typer.Exit(EXIT_DIFFERENT)
