"""`hanok compile`: a model becomes a .hanok program file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanok.cli.options import (
    DEFAULT_CHIP,
    PROGRAM_SUFFIX,
    CalibrationOption,
    ChipOption,
    DramOption,
    EccOption,
    GoalOption,
    NoHostOption,
    SeedOption,
    WeightBitsOption,
    load_chip,
    read_calibration,
)
from hanok.cli.progress import progress_line


def compile_command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An .onnx model.")],
    chip: ChipOption = DEFAULT_CHIP,
    dram: DramOption = "",
    ecc: EccOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where to write.", show_default="MODEL with .hanok"
        ),
    ] = None,
    calibrate: CalibrationOption = None,
    goal_db: GoalOption = None,
    weight_bits: WeightBitsOption = "8",
    no_host: NoHostOption = False,
    seed: SeedOption = 0,
) -> None:
    """Compile MODEL for a chip; the same input gives the same bytes."""
    from hanok.report import check_writable

    target = check_writable(output or model.with_suffix(PROGRAM_SUFFIX))
    from hanok.flows.compile_and_run import compile_model
    from hanok.isa import save_program

    with progress_line() as progress:
        program = compile_model(
            model,
            load_chip(chip, dram, ecc),
            calibration=read_calibration(calibrate),
            no_host=no_host,
            seed=seed,
            goal_db=goal_db,
            weight_bits=int(weight_bits),
            progress=progress,
        )
        save_program(program, target)
    from hanok.report.text import clean
    from hanok.units import readable_bytes

    for warning in program.warnings:
        typer.echo(f"note: {clean(warning)}", err=True)
    code = sum(len(stage.code) for stage in program.npu_stages)
    typer.echo(
        f"{clean(str(target))}: {len(program.layers)} layers, {readable_bytes(code)} of code, "
        f"{readable_bytes(len(program.constants))} of constants, "
        f"{len(program.host_operators)} host operators; "
        f"chip {program.chip.name}"
    )
