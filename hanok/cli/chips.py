"""`hanok chips`: the presets with their figures, or the TOML of one chip with its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hanok.flows.results import ChipSummary


def chips(
    name: Annotated[
        str,
        typer.Argument(
            metavar="[NAME|FILE]", help="Print the TOML of this chip, checked.", show_default=False
        ),
    ] = "",
) -> None:
    """List the chips that ship with hanok, or print one as TOML."""
    if name:
        from hanok.machine import Chip, chip_toml

        Chip.load(name)
        typer.echo(chip_toml(name), nl=False)
        return
    from hanok.flows.chips import preset_summaries

    _print_table(preset_summaries())


def _print_table(summaries: tuple[ChipSummary, ...]) -> None:
    from rich import box
    from rich.table import Table

    from hanok.cli.console import make_console
    from hanok.report.text import significant
    from hanok.units import readable_bytes

    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for title in ("chip", "array", "clock", "TOPS", "SRAM", "DRAM", "bandwidth", "what it is"):
        text = title in ("chip", "DRAM", "what it is")
        table.add_column(title, justify="left" if text else "right", no_wrap=title != "what it is")
    for summary in summaries:
        sizes = {figure.field: figure.value for figure in summary.figures}
        table.add_row(
            summary.name,
            f"{sizes['core.matrix.rows']} x {sizes['core.matrix.columns']}",
            f"{summary.clock_mhz:,} MHz",
            significant(summary.peak_tops),
            readable_bytes(summary.sram_bytes),
            summary.dram_standard,
            f"{significant(summary.dram_bytes_per_second / 1e9)} GB/s",
            summary.description,
        )
    make_console().print(table)
    typer.echo("hanok chips NAME prints a chip as TOML, with the source of every figure.")
