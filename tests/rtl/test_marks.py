"""A marked core: its marks are read from its Verilog, and nothing else about it is another."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from core_bench import small_chip

from hanok.errors import HanokError
from hanok.isa.table import Unit
from hanok.rtl.core import Core
from hanok.rtl.interface import interface_of
from hanok.rtl.mark_proof import core_logic, same_but_for_answers
from hanok.rtl.mark_reader import read_marks
from hanok.rtl.marks import BLOCKS, COUNTER_MARK_BITS, MARKS, marks_of, words_of
from hanok.rtl.prove import prove
from hanok.rtl.register_map import BY_NAME, COUNTERS, FIRST_COUNTER
from hanok.rtl.registers import OKAY, Registers
from hanok.rtl.verilog import write_verilog

CHIP = small_chip()


def random_marks(seed: int) -> list[int]:
    source = random.Random(seed)
    return [source.getrandbits(1) for _ in range(MARKS)]


def verilog_of(core: Core) -> list[str]:
    return list(write_verilog(core, "hanok_small", interface_of(core).verilog_names).modules.values())


def test_words_carry_marks() -> None:
    marks = random_marks(1)
    words = words_of(marks)
    assert marks_of(words) == marks
    assert {block.name: len(words[block.name]) for block in BLOCKS} == dict.fromkeys(words, 16)
    assert all(0 <= word < 1 << block.bits for block in BLOCKS for word in words[block.name])
    lost = {**words, "decoder": (None, *words["decoder"][1:])}
    found = marks_of(lost)
    assert found.count(None) == 24
    assert all(one is None or one == other for one, other in zip(found, marks, strict=True))


def test_an_unmarked_core_has_nothing_of_it() -> None:
    assert all(not words for words in words_of(()).values())
    assert "open_index" not in "".join(verilog_of(Core(CHIP)))


def test_marks_change_nothing_else() -> None:
    assert same_but_for_answers(CHIP, random_marks(2))


def test_the_comparison_sees_another_core() -> None:
    other = small_chip(semaphore_limit=14)
    one, two = core_logic(Core(CHIP)), core_logic(Core(other))
    assert one.keys() == two.keys()
    assert one != two


def test_marks_are_read_from_verilog() -> None:
    marks = random_marks(3)
    assert read_marks(CHIP, verilog_of(Core(CHIP, marks=marks))) == marks


def test_what_is_no_core() -> None:
    with pytest.raises(HanokError, match="no module of the design has an input 's_axi_control_awvalid'"):
        read_marks(CHIP, ["module other (input clk, input rst, output irq); assign irq = 1; endmodule"])
    ports = "input clk, input s_axi_control_awvalid, output irq"
    with pytest.raises(HanokError, match="no input 'rst'"):
        read_marks(CHIP, [f"module other ({ports}); assign irq = 1; endmodule"])


def test_a_core_that_never_answers() -> None:
    """It has all ports, and nothing behind them."""
    ports = ", ".join(
        f"{'input' if port.is_input else 'output'} [{port.bits - 1}:0] {port.name}"
        for port in interface_of(Core(CHIP)).ports
    )
    assert (
        read_marks(CHIP, [f"module silent({ports.replace('[0:0] ', '')}); assign irq = 0; endmodule"])
        == [None] * MARKS
    )


class RegistersHarness(wiring.Component):
    """Marked and unmarked registers side by side, with the same inputs.

    All outputs are equal in each cycle, but for the data of a read: these are equal where the response is
    OKAY, in the bits that docs/rtl.md specifies. `specified_bits` is how many of a counter's high word are.
    """

    def __init__(self, specified_bits: int = 32 - COUNTER_MARK_BITS) -> None:
        self.marked, self.plain = Registers(words_of(random_marks(4))), Registers()
        self._specified_bits = specified_bits
        super().__init__({name: In(member.shape) for name, member in self._free().items()})

    def _free(self) -> dict[str, Any]:
        """Inputs of the marked registers, by their names in the harness."""
        found = {}
        for path, member, _ in self.marked.signature.flatten(self.marked):
            if member.flow == In:
                found["__".join(map(str, path))] = member
        return found

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.marked, m.submodules.plain = self.marked, self.plain
        for component in (self.marked, self.plain):
            for path, member, value in component.signature.flatten(component):
                if member.flow == In:
                    m.d.comb += value.eq(getattr(self, "__".join(map(str, path))))
        for number in range(len(COUNTERS)):
            m.d.comb += Assume(self.counters[number][48:] == 0)
        bus, other = self.marked.bus, self.plain.bus
        for path, member, value in self.plain.signature.flatten(self.plain):
            if member.flow != In and path[-1] != "rdata":
                twin = self.marked
                for part in path:
                    twin = getattr(twin, str(part))
                m.d.comb += Assert(value == twin)
        address, low = Signal(len(bus.araddr)), Signal(len(bus.araddr))
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += address.eq(bus.araddr)
            with m.If((bus.araddr >= FIRST_COUNTER) & ~bus.araddr[2]):
                m.d.sync += low.eq(bus.araddr)
        m.d.comb += Assert(~bus.rvalid | self._equal(m, bus, other, address, low))
        return m

    def _equal(self, m: Module, bus: Any, other: Any, address: Signal, low: Signal) -> Any:
        """Whether the data are equal in the bits that are specified for an address."""
        specified = Signal(32)
        first = {BY_NAME[f"{unit.name.lower()}_busy_low"].offset >> 3 for unit in Unit}
        opens = sum(((low >> 3) == number) for number in first) != 0
        of_counter = (1 << self._specified_bits) - 1
        m.d.comb += specified.eq(0xFFFF_FFFF)
        with m.If(address[2:] == BY_NAME["cause"].offset >> 2):
            m.d.comb += specified.eq(0xFF)
        with m.Elif((address >= FIRST_COUNTER) & address[2]):
            m.d.comb += specified.eq(Mux(opens, of_counter, Const(0xFFFF_FFFF)))
        return (bus.rresp != OKAY) | ((bus.rdata & specified) == (other.rdata & specified))


def test_registers_answer_alike_where_it_is_specified() -> None:
    assert prove(RegistersHarness(), 8).holds


def test_the_harness_sees_a_difference() -> None:
    assert not prove(RegistersHarness(specified_bits=20), 8).holds
