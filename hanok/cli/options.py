"""Options that commands share, and what they are turned into."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from hanok.isa import Program
    from hanok.machine import Chip

ChipOption = Annotated[
    str,
    typer.Option("--chip", "-c", metavar="NAME|FILE", help="A preset (see `hanok chips`) or a TOML file."),
]
DramOption = Annotated[
    str,
    typer.Option(
        "--dram",
        metavar="NAME",
        help="Another DRAM on the chip's channels, such as LPDDR5X_8533 (see `hanok dram list`).",
        show_default=False,
    ),
]
EccOption = Annotated[
    Literal["none", "on_die", "side_band", "both"] | None,
    typer.Option(
        "--ecc", help="Other codes on the chip's DRAM: its dies', the host's, or both.", show_default=False
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        "--calibrate", metavar="FILE", help="Samples (.npz or .npy) to quantise a float model with."
    ),
]
InputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--input", "-i", metavar="NAME=FILE", help="Data for an input (.npy or .npz); may be repeated."
    ),
]
WeightBits = Literal["8", "4"]
WeightBitsOption = Annotated[
    WeightBits,
    typer.Option("--weight-bits", help="Of a float model's constant matrices; 4: with a scale for every 32."),
]
GoalOption = Annotated[
    float | None,
    typer.Option(
        "--goal-db",
        metavar="DB",
        min=0,
        max=100,
        help="Of a float transformer: its worst output over its error on the calibration data.",
        show_default="32",
    ),
]
NoHostOption = Annotated[bool, typer.Option("--no-host", help="Refuse operators that would run on the host.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of random data where none is given.")
]

DEFAULT_CHIP = "edge"
DEFAULT_GATES_CHIP = "nano"
"""Of the commands that make gates: the preset that is made for them."""
PROGRAM_SUFFIX = ".hanok"


def load_chip(name: str, dram: str = "", ecc: str | None = None) -> Chip:
    """Return the chip of a --chip option, with the DRAM of a --dram and the codes of an --ecc option."""
    from hanok.machine import Chip

    chip = Chip.load(name)
    if not dram and ecc is None:
        return chip
    from hanok.flows.dram_swap import swap_dram, swap_ecc

    if dram:
        chip = swap_dram(chip, dram)
    return chip if ecc is None else swap_ecc(chip, ecc)


def read_calibration(path: Path | None) -> Any:
    """Return the samples of a --calibrate option; the array of a lone .npy has the name ''."""
    if path is None:
        return None
    from hanok.flows.arrays import read_arrays

    return read_arrays(path)


def read_inputs(options: list[str], program: Program) -> dict[str, Any]:
    """Return the arrays of --input options: NAME=FILE, an .npz with names, or an .npy for the only input."""
    from hanok.flows.arrays import InputError

    names = [info.name for info in program.inputs]
    values: dict[str, Any] = {}
    for option in options:
        for name, array in _read_option(option, names).items():
            if name in values:
                raise InputError(f"--input {option}: input '{name}' is given twice")
            values[name] = array
    return values


def _read_option(option: str, names: list[str]) -> dict[str, Any]:
    from hanok.flows.arrays import InputError, read_arrays

    name, separator, file = option.partition("=")
    if not separator or (name not in names and Path(option).exists()):
        arrays = read_arrays(option)
        if list(arrays) != [""]:
            return arrays
        if len(names) != 1:
            raise InputError(f"--input {option}: which input? write NAME={option}; names: {', '.join(names)}")
        return {names[0]: arrays[""]}
    arrays = read_arrays(file)
    if len(arrays) == 1:
        return {name: next(iter(arrays.values()))}
    if name not in arrays:
        raise InputError(f"--input {option}: no array '{name}' in the file; it has: {', '.join(arrays)}")
    return {name: arrays[name]}
