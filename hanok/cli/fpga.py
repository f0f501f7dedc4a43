"""`hanok fpga`: the core of a chip as a bitstream for a board, and models that run there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.options import DEFAULT_GATES_CHIP, ChipOption, InputsOption, load_chip, read_inputs
from hanok.cli.progress import progress_line

if TYPE_CHECKING:
    from hanok.flows.fpga import FpgaBuild

_DEFAULT_BOARD, _DEFAULT_MEMORY_KIB, _DEFAULT_PLACES = "ecp5-evn", 64, 3
EXIT_DIFFERENT = 1


def fpga_command(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="With --load: an .onnx model or a compiled .hanok program."),
    ] = None,
    chip: ChipOption = DEFAULT_GATES_CHIP,
    board: Annotated[
        str, typer.Option("--board", metavar="NAME", help="ecp5-evn (or ecp5-85), or ulx3s-85f.")
    ] = _DEFAULT_BOARD,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="Keep bitstream and reports.")
    ] = None,
    clock_mhz: Annotated[
        float, typer.Option("--clock-mhz", min=0, help="Clock of the core; 0: the chip's clock_mhz.")
    ] = 0,
    memory_kib: Annotated[
        int, typer.Option("--memory-kib", min=1, max=65536, help="Memory in block RAM, beside the core's.")
    ] = _DEFAULT_MEMORY_KIB,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**31 - 1, help="Seed of the placement, or of random data.")
    ] = 1,
    places: Annotated[
        int,
        typer.Option(
            "--places", min=1, max=64, help="Place with as many seeds, from SEED on, and route the best."
        ),
    ] = _DEFAULT_PLACES,
    load: Annotated[
        str, typer.Option("--load", metavar="PORT", help="Run MODEL on the board at this serial port.")
    ] = "",
    inputs: InputsOption = None,
) -> None:
    """Make a bitstream of a chip's core, or with --load run MODEL on a board that has it."""
    from hanok.flows.arrays import InputError

    if load and model is None:
        raise InputError("--load takes a MODEL to run")
    if load and model is not None:
        _run(model, chip, load, memory_kib << 10, inputs or [], seed)
        return
    if model is not None:
        raise InputError("MODEL is for --load PORT; a bitstream runs any model that fits its memory")
    from hanok.flows.fpga import MAKER, build_fpga, check_tools
    from hanok.report.folder import check_folder, write_folder

    check_tools()
    if output is not None:
        check_folder(output, MAKER)
    described = load_chip(chip)
    with progress_line() as progress:
        clock = clock_mhz or float(described.clock_mhz)
        seeds = range(seed, seed + places)
        build = build_fpga(described, board, memory_kib << 10, clock, seeds, progress)
        if output is not None:
            write_folder(output, build.files, MAKER, {"chip": build.chip, "board": build.board.name})
    _print_build(build, output)


def _print_build(build: FpgaBuild, output: Path | None) -> None:
    from hanok.report.text import clean

    there = build.board.capacity
    typer.echo(f"chip {build.chip} on {build.board.name}, {build.memory_bytes >> 10} KiB of memory beside it")
    for words, taken, whole in (
        ("LUT4", build.used.luts, there.luts),
        ("block RAMs", build.used.block_rams, there.block_rams),
        ("multipliers", build.used.multipliers, there.multipliers),
    ):
        typer.echo(f"  {words:12} {taken:7,} of {whole:7,}  {taken / whole:6.1%}")
    if build.closes:
        typer.echo(f"  {build.reached_mhz:.1f} MHz reached; the bitstream runs at {build.clock_mhz:g} MHz")
    else:
        slower = build.clock_that_closes
        advice = "choose other seeds" if slower is None else f"make one with --clock-mhz {slower}"
        typer.echo(
            f"  {build.reached_mhz:.1f} MHz reached of {build.clock_mhz:g}: too fast a bitstream for "
            f"this board; {advice}"
        )
        for step in build.worst_path:
            typer.echo(f"    {clean(step)}")
    if output is not None:
        typer.echo(f"{clean(str(output))}: design.bit for openFPGALoader, and the reports")


def _run(model: Path, chip: str, port: str, memory_bytes: int, inputs: list[str], seed: int) -> None:
    from hanok.cli.run import program_of
    from hanok.flows.board import open_board, run_on_board

    with progress_line() as progress:
        program = program_of(model, chip, seed=seed, progress=progress, default_chip="nano")
        values = read_inputs(inputs, program)
        found = run_on_board(program, open_board(port), memory_bytes, values, seed=seed, progress=progress)
    for warning in found.warnings:
        typer.echo(f"note: {warning}")
    for name, value in found.outputs.items():
        typer.echo(f"output {name}: {value.dtype} {list(value.shape)}")
    cycles = sum(found.cycles)
    if found.different_bytes:
        typer.echo(f"{cycles:,} cycles; {found.different_bytes:,} bytes differ from the emulator's")
        raise typer.Exit(EXIT_DIFFERENT)
    typer.echo(f"{cycles:,} cycles; every byte is the emulator's")
