"""`hanok run`: a model or a program on a chip: values, cycles, energy, and the reports asked for."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from hanok.cli.language import (
    DEFAULT_TOKENS,
    PromptOption,
    TemperatureOption,
    TextRequest,
    TokensOption,
    TopPOption,
    run_language,
)
from hanok.cli.options import (
    DEFAULT_CHIP,
    PROGRAM_SUFFIX,
    CalibrationOption,
    DramOption,
    EccOption,
    GoalOption,
    InputsOption,
    NoHostOption,
    WeightBitsOption,
    load_chip,
    read_calibration,
    read_inputs,
)
from hanok.cli.progress import progress_line
from hanok.errors import HanokError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hanok.flows.compile_and_run import RunResult
    from hanok.isa import Program


def run(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="An .onnx model, a compiled .hanok program, or a language model's folder."
        ),
    ],
    chip: Annotated[
        str,
        typer.Option(
            "--chip",
            "-c",
            metavar="NAME|FILE",
            help="A preset (see `hanok chips`) or a TOML file.",
            show_default=DEFAULT_CHIP,
        ),
    ] = "",
    dram: DramOption = "",
    ecc: EccOption = None,
    inputs: InputsOption = None,
    calibrate: CalibrationOption = None,
    goal_db: GoalOption = None,
    weight_bits: WeightBitsOption = "8",
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write the HTML report.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", metavar="FILE", help="Write a trace for ui.perfetto.dev.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save-outputs", metavar="FILE", help="Write the outputs (.npz).")
    ] = None,
    no_check: Annotated[bool, typer.Option("--no-check", help="Do not compare with ONNX Runtime.")] = False,
    no_host: NoHostOption = False,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", min=0, max=2**32 - 1, help="Seed of random data where none is given, and of bit errors."
        ),
    ] = 0,
    bit_errors: Annotated[
        float | None,
        typer.Option(
            "--bit-errors",
            metavar="RATE",
            help="Share of DRAM cells, of constants and inputs, that are wrong before the run.",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[int, typer.Option("--layers", min=0, help="How many layers the table shows.")] = 12,
    prompt: PromptOption = None,
    tokens: TokensOption = None,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
) -> None:
    """Run MODEL on a chip: the outputs, the cycles, the energy, and why.

    Given a language model's folder, or --prompt or --tokens with an ONNX decoder, it writes text.
    """
    from hanok.report import check_writable

    for path in (html, trace, json, save):
        if path is not None:
            check_writable(path)
    if model.is_dir() or prompt is not None or tokens is not None:
        for option, given in (("--input", inputs), ("--save-outputs", save), ("--bit-errors", bit_errors)):
            if given is not None:
                raise HanokError(f"{model}: {option} has no meaning where text is written; leave it out")
        request = TextRequest(
            prompt=prompt or "",
            tokens=tokens or DEFAULT_TOKENS,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            calibrate=calibrate,
            no_host=no_host,
            goal_db=goal_db,
            weight_bits=int(weight_bits),
            check=not no_check,
            html=html,
            trace=trace,
            json=json,
        )
        run_language(model, load_chip(chip or DEFAULT_CHIP, dram, ecc), request)
        return
    with progress_line() as progress:
        begin = perf_counter()
        program = program_of(
            model,
            chip,
            dram=dram,
            ecc=ecc,
            calibrate=calibrate,
            goal_db=goal_db,
            weight_bits=int(weight_bits),
            no_host=no_host,
            seed=seed,
            progress=progress,
        )
        compile_seconds = perf_counter() - begin
        from hanok.flows.compile_and_run import run_program

        values = read_inputs(inputs or [], program)
        result = run_program(
            program,
            values,
            check=not no_check,
            seed=seed,
            compile_seconds=compile_seconds,
            bit_errors=bit_errors,
            progress=progress,
        )
        progress("writing the reports")
        write_reports(result, html, trace, json, save)
    print_result(result, layers)


def program_of(
    model: Path,
    chip: str,
    *,
    dram: str = "",
    ecc: str | None = None,
    calibrate: Path | None = None,
    goal_db: float | None = None,
    weight_bits: int = 8,
    no_host: bool = False,
    seed: int,
    progress: Callable[[str], None],
    default_chip: str = DEFAULT_CHIP,
) -> Program:
    """Compile a model, or load a program, whose chip must be the one that is asked for."""
    from hanok.flows.compile_and_run import compile_model, load_verified

    if model.suffix != PROGRAM_SUFFIX:
        samples = read_calibration(calibrate)
        return compile_model(
            model,
            load_chip(chip or default_chip, dram, ecc),
            calibration=samples,
            no_host=no_host,
            seed=seed,
            goal_db=goal_db,
            weight_bits=weight_bits,
            progress=progress,
        )
    for option, given in (
        ("--calibrate", calibrate is not None),
        ("--goal-db", goal_db is not None),
        ("--weight-bits", weight_bits != 8),
    ):
        if given:
            raise HanokError(
                f"{model}: is compiled already, so {option} has nothing to do; give it to `hanok compile`"
            )
    for option, given in (("--dram", bool(dram)), ("--ecc", ecc is not None)):
        if given:
            raise HanokError(
                f"{model}: was compiled for its chip's DRAM, which {option} cannot change; compile again "
                "with it"
            )
    program = load_verified(model)
    if chip and load_chip(chip) != program.chip:
        raise HanokError(
            f"{model}: was compiled for chip '{program.chip.name}'; leave --chip out, or compile again for it"
        )
    if no_host and program.host_operators:
        name, onnx_type = program.host_operators[0]
        raise HanokError(f"{model}: {onnx_type} '{name}' runs on the host, which --no-host forbids")
    return program


def write_reports(
    result: RunResult, html: Path | None, trace: Path | None, json: Path | None, save: Path | None = None
) -> None:
    """Write the files that were asked for, each whole or not at all."""
    from hanok.flows.arrays import npz_bytes
    from hanok.report import to_html, to_json, to_trace, write_whole

    if html is not None:
        write_whole(html, to_html(result.record, result.traces))
    if trace is not None:
        write_whole(trace, to_trace(result.record, result.traces))
    if json is not None:
        write_whole(json, to_json(result.record))
    if save is not None:
        write_whole(save, npz_bytes(result.outputs))


def print_result(result: RunResult, layers: int) -> None:
    """Print the tables; the last line says what bounds the model."""
    from hanok.cli.console import make_console
    from hanok.report import print_record

    print_record(result.record, make_console(), layers)
