"""How fast each unit of a core is on a board, placed and routed alone.

    python benchmarks/fpga_units.py [UNIT...] [--chip nano] [--board ecp5-evn] [--seed 1]

UNIT is a block of `hanok area` (matrix, vector, load, ...) or a float unit (add, multiply, fused, divide,
from_integer, to_integer), in the latency that the chip gives it; all of them take an hour. All inputs come
from flip-flops and all outputs go to some; chains through these lead to two pins. Needs `hanok[fpga]`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Cat, ClockDomain, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring

from hanok.cli.options import load_chip
from hanok.errors import HanokError
from hanok.flows.fpga import map_design, place_design, reached, route_design, worst_path
from hanok.machine import Chip
from hanok.rtl.blocks import BLOCKS
from hanok.rtl.float_add import FloatAdd
from hanok.rtl.float_convert import FloatToInteger, IntegerToFloat
from hanok.rtl.float_divide import FloatDivide
from hanok.rtl.float_fused import FloatFusedMultiplyAdd
from hanok.rtl.float_multiply import FloatMultiply
from hanok.rtl.fpga_board import board_of

FLOATS: dict[str, Callable[[Chip], wiring.Component]] = {
    "add": lambda chip: FloatAdd(chip.core.vector.pipeline.add),
    "multiply": lambda chip: FloatMultiply(chip.core.vector.pipeline.multiply),
    "fused": lambda chip: FloatFusedMultiplyAdd(chip.core.vector.pipeline.fused),
    "divide": lambda chip: FloatDivide(chip.core.vector.pipeline.division_bits),
    "from_integer": lambda chip: IntegerToFloat(33, chip.core.vector.pipeline.convert),
    "to_integer": lambda chip: FloatToInteger(chip.core.vector.pipeline.to_integer),
}
UNITS = BLOCKS | FLOATS
GROUP = 64
"""Inputs in a chain; Yosys fails on chains of thousands."""
PINS = """FREQUENCY PORT "clk" {mhz:g} MHZ;
LOCATE COMP "clk" SITE "A10";
LOCATE COMP "rst" SITE "P4";
LOCATE COMP "chain_in" SITE "P3";
LOCATE COMP "chain_out" SITE "A13";
"""


class Alone(Elaboratable):
    """A component between flip-flops that chains fill and empty, so that it needs four pins."""

    def __init__(self, component: wiring.Component) -> None:
        self.component = component
        self.chain_in, self.chain_out = Signal(name="chain_in"), Signal(name="chain_out")
        self.domain = ClockDomain("sync")

    def elaborate(self, platform: Any) -> Module:
        """Build it."""
        m = Module()
        m.domains.sync = self.domain
        m.submodules.unit = self.component
        sides: dict[wiring.Flow, list[Value]] = {wiring.In: [], wiring.Out: []}
        for path, member, _ in self.component.signature.flatten(self.component):
            value: Any = self.component
            for part in path:
                value = value[part] if isinstance(part, int) else getattr(value, part)
            sides[member.flow].append(Value.cast(value))
        inputs, outputs = Cat(*sides[wiring.In]), Cat(*sides[wiring.Out])
        given, turn = Signal(len(inputs), reset_less=True), Signal(range(-(-len(inputs) // GROUP) + 1))
        taken, emptied = Signal(len(outputs), reset_less=True), Signal(len(outputs), reset_less=True)
        m.d.comb += inputs.eq(given)
        m.d.sync += turn.eq(turn + 1)
        for number, first in enumerate(range(0, len(inputs), GROUP)):
            group, shifts = given[first : first + GROUP], Signal(name=f"shifts_{number}")
            m.d.sync += shifts.eq(turn == number)
            with m.If(shifts):
                m.d.sync += group.eq(Cat(self.chain_in, group))
        m.d.sync += [taken.eq(outputs), emptied.eq(Cat(0, emptied) ^ taken), self.chain_out.eq(emptied[-1])]
        return m


def measure(name: str, chip: Chip, board_name: str, seed: int) -> tuple[str, ...]:
    """Print a line of the table and return the worst path of a unit."""
    board = board_of(board_name)
    alone = Alone(UNITS[name](chip))
    domain = alone.domain
    text = rtlil.convert(
        alone, name="top", ports=[alone.chain_in, alone.chain_out, domain.clk, domain.rst], emit_src=False
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        used = map_design(work, str(text))
        (work / "board.lpf").write_text(PINS.format(mhz=chip.clock_mhz), encoding="utf-8")
        report = route_design(work, board, place_design(work, board, [seed]))
    print(
        f"| {name} | {reached(report):.0f} | {used.luts:,} | {used.block_rams} | {used.multipliers} |",
        flush=True,
    )
    return worst_path(report)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("units", nargs="*", metavar="UNIT", help=", ".join(UNITS))
    parser.add_argument("--chip", default="nano")
    parser.add_argument("--board", default="ecp5-evn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--paths", action="store_true", help="print each unit's worst path too")
    options = parser.parse_args()
    chip = load_chip(options.chip)
    unknown = [name for name in options.units if name not in UNITS]
    if unknown:
        parser.error(f"unknown unit: {', '.join(unknown)}; allowed: {', '.join(UNITS)}")
    print("| unit | MHz | LUT4 | block RAMs | multipliers |")
    print("|---|---|---|---|---|")
    for name in options.units or UNITS:
        try:
            path = measure(name, chip, options.board, options.seed)
        except HanokError as error:
            print(f"| {name} | not placed: {error} | | | |", flush=True)
            continue
        if options.paths:
            print("\n".join(path))


if __name__ == "__main__":
    main()
