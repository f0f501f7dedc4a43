"""Command traces: what a controller sent to the DRAM, one record a command; as a NumPy array and as text."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hanok.dram.standard import Command, Standard
from hanok.errors import HanokError

COMMAND_DTYPE = np.dtype(
    [
        ("cycle", np.int64),
        ("command", np.int8),
        ("channel", np.int16),
        ("pseudo", np.int8),
        ("rank", np.int8),
        ("group", np.int8),
        ("bank", np.int8),
        ("row", np.int32),
        ("column", np.int32),
    ]
)
"""A command at a clock edge; -1 stands for a part of the address that the command does not have."""

Commands = NDArray[np.void]
"""Records of COMMAND_DTYPE, in the order of their cycles."""

CSV_HEADER = "cycle,time_ns,command,channel,pseudo,rank,group,bank,row,column"

_WHOLE = (Command.PREA, Command.REFA)
_ROWS = 1 << 16
"""Rows that are converted at a time."""
_FIELDS = tuple(str(name) for name in COMMAND_DTYPE.fields or ())
_LIMITS = {name: (-1, int(np.iinfo(COMMAND_DTYPE[name]).max)) for name in _FIELDS} | {"cycle": (0, 1 << 62)}
_ADDRESS = _FIELDS[2:]
_RAMULATOR_FIELDS = {
    "clock": "cycle",
    "command": "command",
    "Channel": "channel",
    "PseudoChannel": "pseudo",
    "Rank": "rank",
    "Sid": "rank",
    "BankGroup": "group",
    "Bank": "bank",
    "Row": "row",
    "Column": "column",
}

Steps = Mapping[str, tuple[tuple[Command, int], ...]]
"""What a command's name in a file stands for: commands, and how many cycles after the file's each comes."""


def describe_command(record: np.void) -> str:
    """Say in words what a record of COMMAND_DTYPE is: command, cycle and place."""
    parts = [f"{name} {record[name]}" for name in _FIELDS[4:] if record[name] >= 0]
    place = " ".join([f"channel {record['channel']}.{record['pseudo']}", *parts])
    return f"{Command(int(record['command'])).name} at cycle {record['cycle']} ({place})"


def write_csv(path: str | Path, commands: Commands, standard: Standard) -> None:
    """Write a trace with a header line, nanoseconds beside the cycles; parts that are -1 stay empty.

    A name that ends in .gz is compressed. Raises HanokError when the file cannot be written.
    """
    try:
        with _open(path, "wt") as file:
            file.write(f"{CSV_HEADER}\n")
            for begin in range(0, len(commands), _ROWS):
                file.writelines(_csv_lines(commands[begin : begin + _ROWS], standard.tck_fs))
    except OSError as error:
        raise HanokError(f"command trace '{path}': cannot be written: {error}") from error


def read_csv(path: str | Path) -> Commands:
    """Read what write_csv wrote; columns go by their names, and others than a record's are passed over.

    Raises HanokError with the number of the line that is bad.
    """
    steps = {command.name: ((command, 0),) for command in Command}
    return _read(path, _lines_of(path), {name: name for name in _FIELDS}, _FIELDS, steps, None)


def read_ramulator_commands(path_or_lines: str | Path | Iterable[str], standard: Standard) -> Commands:
    """Read the text that Ramulator 2.1's CmdTraceRecorder writes for one channel, .gz accepted.

    Its first clock is 1, and it notes a command of several cycles at the first of them; here that is cycle 0,
    and ACT and column commands stand where their timings count from. Its clocks must be `standard`'s cycles
    (half clocks for HBM3 and HBM4, as there). An ACT becomes ACT1 and ACT where the standard has both;
    commands that start the write clock (CAS_RD, CAS_WR) are dropped. A precharge that a column command
    implies (RDA, WRA) and refresh management are in no table: HanokError, as for lines that cannot be read.
    """
    if isinstance(path_or_lines, str | Path):
        place, lines = path_or_lines, _lines_of(path_or_lines)
    else:
        place, lines = "lines", iter(path_or_lines)
    found = _read(place, lines, _RAMULATOR_FIELDS, ("cycle", "command"), _ramulator_steps(standard), standard)
    return found[np.argsort(found["cycle"], kind="stable")]


def _csv_lines(commands: Commands, tck_fs: int) -> Iterator[str]:
    names = [command.name for command in Command]
    whole, rest = np.divmod(commands["cycle"] * tck_fs, 1_000_000)
    address = [
        ["" if value < 0 else value for value in commands[name].tolist()]
        for name in ("rank", "group", "bank", "row", "column")
    ]
    columns = zip(
        *(commands[name].tolist() for name in ("cycle", "command", "channel", "pseudo")),
        whole.tolist(),
        rest.tolist(),
        *address,
        strict=True,
    )
    for cycle, command, channel, pseudo, ns, fs, rank, group, bank, row, column in columns:
        yield (
            f"{cycle},{ns}.{fs:06d},{names[command]},{channel},{pseudo},{rank},{group},{bank},{row},{column}\n"
        )


def _open(path: str | Path, mode: str) -> IO[str]:
    if str(path).endswith(".gz"):
        return gzip.open(path, mode, encoding="utf-8", compresslevel=1)  # type: ignore[return-value]
    return open(path, mode, encoding="utf-8")


def _lines_of(path: str | Path) -> Iterator[str]:
    try:
        with _open(path, "rt") as file:
            yield from file
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise HanokError(f"command trace '{path}': cannot be read: {error}") from error


def _ramulator_steps(standard: Standard) -> Steps:
    two = Command.ACT1 in standard.forms
    names = {
        "ACT": (Command.ACT1, Command.ACT) if two else (Command.ACT,),
        "ACT1": (Command.ACT1,),
        "ACT2": (Command.ACT,),
        "PREpb": (Command.PRE,),
        "PREab": (Command.PREA,),
        "RD": (Command.RD,),
        "WR": (Command.WR,),
        "REFab": (Command.REFA,),
        "REFpb": (Command.REFB,),
        "CAS_RD": (),
        "CAS_WR": (),
    }
    gap = standard.activate_gap_cycles[0]
    return {
        name: tuple(
            (command, standard.forms[command].lead + i * gap - 1) for i, command in enumerate(commands)
        )
        for name, commands in names.items()
        if all(command in standard.forms for command in commands)
    }


@dataclass(frozen=True)
class _Layout:
    """Where a file's lines have a record's fields."""

    header: str
    width: int
    columns: Mapping[str, int]
    steps: Steps
    standard: Standard | None
    """Of a Ramulator trace."""

    def parse(self, line: str) -> list[tuple[int, ...]]:
        """Return the line's records; raises ValueError with what is wrong."""
        cells = line.rstrip("\r\n").split(",")
        if len(cells) != self.width:
            raise ValueError(f"{len(cells)} fields; expected {self.width}: {self.header}")
        name = cells[self.columns["command"]]
        if name not in self.steps:
            raise ValueError(f"command '{name}' is unknown; allowed: {', '.join(self.steps)}")
        cycle = _number("cycle", cells[self.columns["cycle"]])
        if self.standard is not None and cycle < 1:
            raise ValueError(f"clock is '{cycle}'; allowed: a whole number, 1..{_LIMITS['cycle'][1]}")
        address = [
            _number(field, cells[self.columns[field]]) if field in self.columns else 0 for field in _ADDRESS
        ]
        if self.standard is not None:
            address = _as_recorded(self.standard, name, self.steps[name], address)
        return [(cycle + after, command, *address) for command, after in self.steps[name]]


def _number(field: str, text: str) -> int:
    low, high = _LIMITS[field]
    try:
        value = int(text) if text else -1
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise ValueError(f"{field} is '{text[:32]}'; allowed: a whole number, {low}..{high}")
    return value


def _as_recorded(
    standard: Standard, name: str, steps: tuple[tuple[Command, int], ...], address: list[int]
) -> list[int]:
    """Leave out the parts of an address that the recorder gives for commands that do not have them."""
    channel, pseudo, rank, group, bank, row, column = address
    command = steps[-1][0] if steps else None
    if command in _WHOLE:
        if rank > 0 or (rank == 0 and standard.organisation.ranks > 1):
            raise ValueError(f"{name} of rank {rank} alone; allowed: of all ranks, with rank -1")
        return [channel, pseudo, -1, -1, -1, -1, -1]
    has_row = command in (Command.ACT1, Command.ACT, Command.RD, Command.WR)
    has_column = command in (Command.RD, Command.WR)
    return [channel, pseudo, rank, group, bank, row if has_row else -1, column if has_column else -1]


def _read(
    place: str | Path,
    lines: Iterator[str],
    fields: Mapping[str, str],
    required: tuple[str, ...],
    steps: Steps,
    standard: Standard | None,
) -> Commands:
    header = next(lines, "").rstrip("\r\n")
    names = header.split(",")
    columns = {fields[name]: i for i, name in enumerate(names) if name in fields}
    missing = [name for name, field in fields.items() if field in required and field not in columns]
    if missing:
        raise HanokError(
            f"command trace '{place}' line 1: no column {', '.join(missing)} in '{header[:80]}'; expected a "
            f"header with {', '.join(fields)}"
        )
    layout = _Layout(header, len(names), columns, steps, standard)
    pieces: list[Commands] = []
    records: list[tuple[int, ...]] = []
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        try:
            records += layout.parse(line)
        except ValueError as error:
            raise HanokError(f"command trace '{place}' line {number}: {error}") from error
        if len(records) >= _ROWS:
            pieces.append(np.array(records, COMMAND_DTYPE))
            records = []
    return np.concatenate([*pieces, np.array(records, COMMAND_DTYPE)])
