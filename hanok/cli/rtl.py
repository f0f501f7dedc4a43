"""`hanok rtl`: the core of a chip as a folder of Verilog with its acceptance test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanok.cli.options import DEFAULT_GATES_CHIP, ChipOption, load_chip
from hanok.cli.progress import progress_line


def rtl_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="A new folder, or one made before.")
    ],
    chip: ChipOption = DEFAULT_GATES_CHIP,
) -> None:
    """Write the core of a chip: Verilog, registers, IP-XACT, constraints, a test that needs no hanok."""
    from hanok.flows.rtl import MAKER, check_tools, core_delivery
    from hanok.report.folder import check_folder, write_folder

    check_tools()
    check_folder(output, MAKER)
    with progress_line() as progress:
        delivery = core_delivery(load_chip(chip), progress)
        write_folder(output, delivery.files, MAKER, delivery.about)
    from hanok.report.text import clean
    from hanok.units import readable_bytes

    typer.echo(
        f"{clean(str(output))}: core {delivery.top}, {delivery.verilog_modules} modules, "
        f"{readable_bytes(delivery.verilog_bytes)} of Verilog; how to accept it: README.md"
    )
