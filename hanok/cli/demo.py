"""`hanok demo`: the shipped speech recogniser on the phone-class chip, and its report."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.options import DEFAULT_CHIP, ChipOption
from hanok.cli.progress import progress_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hanok.flows.demo import Heard

_REPORT = Path("hanok-demo.html")


def demo(
    chip: ChipOption = DEFAULT_CHIP,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="Where the report goes.")] = _REPORT,
) -> None:
    """Hear Korean commands on the NPU with the model that ships with hanok, and write the HTML report."""
    typer.echo(
        "A Korean command recogniser, trained on synthetic voices, on clips of voices that it never heard."
    )
    typer.echo("The first run also compiles hanok's own kernels, which takes up to a minute.")
    from hanok.cli.options import load_chip
    from hanok.cli.run import print_result, write_reports
    from hanok.flows.compile_and_run import compile_model, run_program
    from hanok.flows.demo import first_input, listen, load_demonstration
    from hanok.report import check_writable

    target = check_writable(html)
    demonstration = load_demonstration()
    with progress_line() as progress:
        begin = perf_counter()
        program = compile_model(demonstration.model, load_chip(chip), progress=progress)
        seconds = perf_counter() - begin
        result = run_program(program, first_input(demonstration), compile_seconds=seconds, progress=progress)
        progress("listening")
        heard = list(listen(demonstration, program))
        write_reports(result, target, None, None)
    _print_heard(heard, demonstration.accuracy)
    print_result(result, layers=6)
    typer.echo(f"\n{target}: the report of the first clip; open it in a browser.")


def _print_heard(clips: Sequence[Heard], accuracy: float) -> None:
    """One row a word, with what was heard in each of its clips; mistakes are red."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from hanok.cli.console import make_console

    words: dict[str, list[Heard]] = {}
    for clip in clips:
        words.setdefault(clip.said, []).append(clip)
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for name in ("said", "heard on the NPU", "right"):
        table.add_column(name)
    for said, group in words.items():
        heard = Text("  ").join(Text(clip.heard, "green" if clip.heard == said else "red") for clip in group)
        table.add_row(said, heard, f"{sum(clip.heard == said for clip in group)} of {len(group)}")
    make_console().print(table)
    right = sum(clip.said == clip.heard for clip in clips)
    typer.echo(
        f"{right} of {len(clips)} clips heard as they were said; {100 * accuracy:.1f} % of the many that the "
        "training script tests."
    )
