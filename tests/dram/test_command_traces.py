"""Command traces as text: our CSV both ways, and Ramulator's."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from plain_checker import ACT, ACT1, PRE, PREA, RD, REFA, REFB, WR, as_commands, record
from small_standards import half_clocks, one_bus, single_activate, two_cycle_columns, whole_clocks

from hanok.dram.checker import check_commands
from hanok.dram.commands import (
    COMMAND_DTYPE,
    CSV_HEADER,
    Commands,
    describe_command,
    read_csv,
    read_ramulator_commands,
    write_csv,
)
from hanok.dram.standard import Command
from hanok.errors import HanokError


def random_commands(count: int) -> Commands:
    random = np.random.default_rng(7)
    commands = np.zeros(count, COMMAND_DTYPE)
    commands["cycle"] = random.integers(0, 1 << 42, count)
    commands["cycle"].sort()
    commands["command"] = random.integers(0, len(Command), count)
    for name, low in (("channel", 0), ("pseudo", 0), ("rank", -1), ("group", -1), ("bank", -1), ("row", -1)):
        commands[name] = random.integers(low, np.iinfo(COMMAND_DTYPE[name]).max, count, endpoint=True)
    commands["column"] = random.integers(-1, 4, count)
    return commands


@pytest.mark.parametrize("name", ["trace.csv", "trace.csv.gz"])
def test_csv_gives_back_what_was_written(tmp_path: Path, name: str) -> None:
    commands = random_commands(150_000)
    write_csv(tmp_path / name, commands, whole_clocks())
    assert np.array_equal(read_csv(tmp_path / name), commands)


def test_csv_is_plain(tmp_path: Path) -> None:
    """A cycle of the table is half a nanosecond."""
    path = tmp_path / "trace.csv"
    write_csv(path, as_commands([record(3, PREA, 5, 1), record(4, RD, 0, 0, 1, 2, 3, 400, 5)]), half_clocks())
    assert path.read_text().splitlines() == [
        CSV_HEADER,
        "3,1.500000,PREA,5,1,,,,,",
        "4,2.000000,RD,0,0,1,2,3,400,5",
    ]
    path.write_text("row,command,note,cycle\n3,ACT,x,17\n\n,REFA,y,18\n")
    assert read_csv_error(path) == (
        f"command trace '{path}' line 1: no column channel, pseudo, rank, group, bank, column in "
        "'row,command,note,cycle'; expected a header with cycle, command, channel, pseudo, rank, group, "
        "bank, row, column"
    )
    path.write_text("note,command,cycle,channel,pseudo,rank,group,bank,row,column\nx,ACT,17,1,0,0,1,2,3,\n\n")
    assert np.array_equal(read_csv(path), as_commands([record(17, ACT, 1, 0, 0, 1, 2, 3)]))


def test_an_empty_trace_is_written_and_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "trace.csv", as_commands([]), half_clocks())
    assert len(read_csv(tmp_path / "trace.csv")) == 0


def read_csv_error(path: Path) -> str:
    with pytest.raises(HanokError) as caught:
        read_csv(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("4,2.0,RD,0,0,1,2,3,400", f"9 fields; expected 10: {CSV_HEADER}"),
        ("4,2.0,READ,0,0,1,2,3,400,5", "command 'READ' is unknown; allowed: ACT, PRE, PREA, RD, WR, REFA"),
        ("4,2.0,3,0,0,1,2,3,400,5", "command '3' is unknown"),
        ("x,2.0,RD,0,0,1,2,3,400,5", f"cycle is 'x'; allowed: a whole number, 0..{1 << 62}"),
        ("-4,2.0,RD,0,0,1,2,3,400,5", "cycle is '-4'; allowed: a whole number, 0.."),
        (",2.0,RD,0,0,1,2,3,400,5", "cycle is ''; allowed: a whole number, 0.."),
        (f"{(1 << 62) + 1},2.0,RD,0,0,1,2,3,400,5", f"cycle is '{(1 << 62) + 1}'; allowed"),
        ("4,2.0,RD,32768,0,1,2,3,400,5", "channel is '32768'; allowed: a whole number, -1..32767"),
        ("4,2.0,RD,0,0,1,128,3,400,5", "group is '128'; allowed: a whole number, -1..127"),
        ("4,2.0,RD,0,0,1,2,3,400.5,5", "row is '400.5'; allowed: a whole number, -1..2147483647"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(f"{CSV_HEADER}\n3,1.5,PREA,5,1,,,,,\n{line}\n")
    assert read_csv_error(path).startswith(f"command trace '{path}' line 3: {message}")


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    assert read_csv_error(tmp_path / "none.csv").startswith(
        f"command trace '{tmp_path}/none.csv': cannot be read"
    )
    for name, content in (
        ("a.csv.gz", b"cycle"),
        ("b.csv.gz", gzip.compress(b"cycle" * 99)[:-9]),
        ("c.csv", b"\xff"),
    ):
        (tmp_path / name).write_bytes(content)
        assert f"{name}': cannot be read" in read_csv_error(tmp_path / name)
    with pytest.raises(HanokError, match=r"command trace '.*trace.csv': cannot be written: "):
        write_csv(tmp_path / "none" / "trace.csv", as_commands([]), half_clocks())


def test_commands_are_described() -> None:
    commands = as_commands([record(3, PREA, 5, 1), record(4, RD, 0, 0, 1, 2, 3, 400, 5)])
    assert describe_command(commands[0]) == "PREA at cycle 3 (channel 5.1)"
    assert (
        describe_command(commands[1]) == "RD at cycle 4 (channel 0.0 rank 1 group 2 bank 3 row 400 column 5)"
    )


HBM = "clock,command,Channel,PseudoChannel,Sid,BankGroup,Bank,Row,Column,type,source"
FLAT = "clock,command,Channel,Rank,BankGroup,Bank,Row,Column,type,source"


def test_ramulator_half_clocks() -> None:
    """It notes an activate at its first edge and counts edges from 1; odd ones rise."""
    lines = [
        HBM,
        "1,ACT,0,1,0,1,1,26,20,0,-1",
        "4,PREpb,0,0,1,0,1,13,9,0,-1",
        "65,RD,0,1,0,1,1,26,20,0,-1",
        "120,PREab,0,1,-1,-1,-1,-1,-1,-1,-1",
        "201,REFab,0,1,-1,-1,-1,-1,-1,-1,-1",
        "401,REFpb,0,0,1,1,0,5,5,-1,-1",
    ]
    expected = [
        record(0, ACT1, 0, 1, 0, 1, 1, 26),
        record(2, ACT, 0, 1, 0, 1, 1, 26),
        record(3, PRE, 0, 0, 1, 0, 1),
        record(64, RD, 0, 1, 0, 1, 1, 26, 20),
        record(119, PREA, 0, 1),
        record(200, REFA, 0, 1),
        record(400, REFB, 0, 0, 1, 1, 0),
    ]
    found = read_ramulator_commands(lines, half_clocks())
    assert np.array_equal(found, as_commands(expected))
    assert check_commands(found, half_clocks()).violations == 0


def test_ramulator_split_activates_and_write_clock(tmp_path: Path) -> None:
    lines = [
        FLAT,
        "1,ACT1,0,0,2,2,53,52,0,-1",
        "3,ACT2,0,0,2,2,53,52,0,-1",
        "30,CAS_WR,0,0,2,2,53,52,1,-1",
        "31,WR,0,0,2,2,53,52,1,-1",
        "90,PREab,0,0,-1,-1,-1,-1,-1,-1",
    ]
    expected = [
        record(0, ACT1, 0, 0, 0, 2, 2, 53),
        record(2, ACT, 0, 0, 0, 2, 2, 53),
        record(30, WR, 0, 0, 0, 2, 2, 53, 52),
        record(89, PREA, 0, 0),
    ]
    path = tmp_path / "trace.ch0.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    for found in (read_ramulator_commands(path, one_bus()), read_ramulator_commands(str(path), one_bus())):
        assert np.array_equal(found, as_commands(expected))


def test_ramulator_commands_of_two_cycles_stand_at_their_second() -> None:
    lines = [FLAT, "1,ACT,0,1,2,1,53,52,0,-1", "41,RD,0,1,2,1,53,52,0,-1", "81,PREpb,0,1,2,1,53,52,0,-1"]
    expected = [
        record(0, ACT1, 0, 0, 1, 2, 1, 53),
        record(1, ACT, 0, 0, 1, 2, 1, 53),
        record(41, RD, 0, 0, 1, 2, 1, 53, 52),
        record(80, PRE, 0, 0, 1, 2, 1),
    ]
    assert np.array_equal(read_ramulator_commands(lines, two_cycle_columns()), as_commands(expected))
    single = read_ramulator_commands([FLAT.replace("Rank,", ""), "1,ACT,0,2,1,53,52,0,-1"], single_activate())
    assert np.array_equal(single, as_commands([record(0, ACT, 0, 0, 0, 2, 1, 53)]))


def test_ramulator_lines_come_in_the_order_of_our_cycles() -> None:
    lines = [HBM, "1,ACT,0,1,0,1,1,26,20,0,-1", "2,PREpb,0,0,1,0,1,13,9,0,-1"]
    found = read_ramulator_commands(lines, half_clocks())
    assert found["command"].tolist() == [ACT1, PRE, ACT]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "5,RDA,0,0,2,2,53,52,0,-1",
            "line 2: command 'RDA' is unknown; allowed: ACT, ACT1, ACT2, PREpb, PREab, RD",
        ),
        (
            "5,PREab,0,1,-1,-1,-1,-1,0,-1",
            "line 2: PREab of rank 1 alone; allowed: of all ranks, with rank -1",
        ),
        ("0,PREpb,0,1,0,0,0,0,0,-1", "line 2: clock is '0'; allowed: a whole number, 1.."),
        ("5,RD", "line 2: 2 fields; expected 10: clock,command,"),
    ],
)
def test_bad_ramulator_lines_are_named(line: str, message: str) -> None:
    with pytest.raises(HanokError, match=f"command trace 'lines' {message}"):
        read_ramulator_commands([FLAT, line], two_cycle_columns())


def test_ramulator_needs_its_header() -> None:
    for lines in ([], ["1,ACT,0,1"]):
        with pytest.raises(
            HanokError, match=r"line 1: no column clock, command in '.*'; expected a header with clock"
        ):
            read_ramulator_commands(lines, one_bus())
