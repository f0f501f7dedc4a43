"""`hanok area`: the blocks of a core in the cells of a Liberty file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hanok.cli.options import DEFAULT_GATES_CHIP, ChipOption, load_chip
from hanok.cli.progress import progress_line

_UM2_PER_MM2 = 1e6


def area_command(
    liberty: Annotated[
        Path, typer.Option("--liberty", metavar="FILE", help="The cells of a process, as a Liberty file.")
    ],
    chip: ChipOption = DEFAULT_GATES_CHIP,
    block: Annotated[
        list[str] | None,
        typer.Option("--block", metavar="NAME", help="Only this block; may be repeated.", show_default="all"),
    ] = None,
    clock_mhz: Annotated[
        float, typer.Option("--clock-mhz", min=0, help="What ABC aims at; 0: the chip's clock_mhz.")
    ] = 0,
    driving_cell: Annotated[
        str,
        typer.Option(
            "--driving-cell", metavar="CELL", help="What drives the inputs; otherwise the first buffer."
        ),
    ] = "",
) -> None:
    """Map the core of a chip to cells, block by block, and say area and speed."""
    from hanok.estimate.area import estimate_area
    from hanok.flows._static_timing import has_static_timing
    from hanok.flows.area import block_names, measure_area
    from hanok.report.text import clean

    described = load_chip(chip)
    with progress_line() as progress:
        found = measure_area(
            described,
            liberty,
            block_names(block or []),
            clock_mhz or float(described.clock_mhz),
            driving_cell,
            progress,
        )
    typer.echo(f"chip {clean(described.name)}, cells of {clean(liberty.name)}; memories are not in the area")
    static = f"{'slack ps':>11}{'OpenSTA':>10}" if has_static_timing() else ""
    if not static:
        typer.echo("no `sta` (OpenSTA) on the PATH: MHz are ABC's, without clock-to-output and setup")
    typer.echo(
        f"{'block':14}{'area':>14}{'cells':>11}{'flip-flops':>12}{'memory bits':>13}{'MHz':>8}{static}"
    )
    for part in found:
        megahertz = f"{1e6 / part.delay_ps:8.0f}" if part.delay_ps else " " * 8
        if part.slack_ps is not None and part.static_delay_ps:
            megahertz += f"{part.slack_ps:11,.0f}{1e6 / part.static_delay_ps:10.0f}"
        typer.echo(
            f"{part.block:14}{part.area:14,.1f}{part.cells:11,}{part.flip_flops:12,}{part.memory_bits:13,}{megahertz}"
        )
    estimate = estimate_area(described)
    node = described.technology.node_nm
    for name in ("matrix", "vector", "control"):
        low, high = (
            bound * _UM2_PER_MM2 for bound in (getattr(estimate, name).low, getattr(estimate, name).high)
        )
        typer.echo(f"estimated at {node:g} nm: {name} {low:,.0f} .. {high:,.0f} um2")
