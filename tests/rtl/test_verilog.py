"""Verilog of components: proven equal to what Amaranth made, with plain names, equal modules once."""

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Array, Cat, Module, Mux, Signal, signed
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.errors import HanokError
from hanok.rtl._rtlil import extend
from hanok.rtl._rtlil_names import RESERVED
from hanok.rtl.verilog import Verilog, write_verilog
from hanok.rtl.yosys import run_yosys


class Operators(wiring.Component):
    """Each operator, on operands of different widths and signs."""

    def __init__(self) -> None:
        operands = {"a": In(5), "b": In(3), "c": In(signed(4)), "d": In(signed(7)), "e": In(8)}
        super().__init__({**operands, **{f"result_{number}": Out(16) for number in range(30)}})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        a, b, c, d, e = self.a, self.b, self.c, self.d, self.e
        results = [
            a + b, a - b, a + c, c - d, c * d, a * b, a * c, a & d, a | c, a ^ b, ~c, -d, a == b, c == d,
            a < c, c >= d, a > 31, a <= 31, b < 0, b >= 0, a > 30, a << b, d >> b, a << 3, e.bit_select(b, 2),
            e.word_select(b[:1], 4), Mux(b[0], c, d), Cat(c, a), Array([a, c, d, e])[b[:2]],
            (a != 1) & (e == 3),
        ]  # fmt: skip
        for number, result in enumerate(results):
            m.d.comb += getattr(self, f"result_{number}").eq(result)
        return m


class Counter(wiring.Component):
    """A register, choices with and without a default, beside names that Verilog or C++ has."""

    step: In(4)
    value: Out(8)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        interrupt, case = Signal(8), Signal(4)
        unread = Signal(8)
        m.d.comb += [interrupt.eq(self.value + case), unread.eq(interrupt ^ 3)]
        with m.Switch(self.step):
            with m.Case(1, 3):
                m.d.comb += case.eq(self.value[2:])
            with m.Case(7):
                m.d.sync += self.value.eq(9)
        with m.Switch(self.step[:2]):
            with m.Case(2):
                m.d.sync += self.value.eq(interrupt)
            with m.Default():
                m.d.sync += self.value.eq(self.value - 1)
        return m


class Pair(wiring.Component):
    """Two equal counters, a memory between them and a table."""

    step: In(4)
    out: Out(8)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.first = first = Counter()
        m.submodules.second = second = Counter()
        m.submodules.kept = kept = memory.Memory(shape=8, depth=3, init=[])
        m.submodules.table = table = memory.Memory(shape=8, depth=4, init=[5, 0, 77, 1])
        write, read, look = kept.write_port(), kept.read_port(), table.read_port(domain="comb")
        m.d.comb += [
            first.step.eq(self.step),
            second.step.eq(self.step + 1),
            write.addr.eq(0),
            read.addr.eq(0),
            read.en.eq(1),
            write.data.eq(first.value),
            write.en.eq(1),
            look.addr.eq(self.step[:2]),
            self.out.eq(read.data ^ second.value ^ look.data),
        ]
        return m


def equal(component: wiring.Component, verilog: Verilog, cycles: int, skipped: int) -> bool:
    """Prove that both do the same for all inputs, from any state on, `skipped` cycles after a reset."""
    gold = rtlil.convert(component, name="gold", emit_src=False)
    reset = "-set-at 1 in_rst 1 " if skipped else ""
    script = (
        "read_rtlil gold.il; prep -top gold; flatten; memory_map; opt_clean; setattr -unset init w:*; "
        f"design -stash gold; read_verilog gate.v; prep -top {verilog.top}; flatten; memory_map; opt_clean; "
        f"design -stash gate; design -copy-from gold -as gold gold; "
        f"design -copy-from gate -as gate {verilog.top}; "
        "miter -equiv -flatten -make_outputs gold gate miter; hierarchy -top miter; "
        f"sat -verify -seq {cycles} {reset}-prove trigger 0 -prove-skip {skipped} miter"
    )
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "gold.il").write_text(gold)
        (Path(folder) / "gate.v").write_text("\n".join(verilog.modules.values()))
        try:
            run_yosys(script, Path(folder))
        except HanokError as error:
            if "proof did fail" not in str(error):
                raise
            return False
    return True


def test_operators_are_those_of_amaranth() -> None:
    verilog = write_verilog(Operators(), "gate")
    assert equal(Operators(), verilog, cycles=1, skipped=0)
    text = verilog.modules["gate"]
    wrong = re.sub(r"\ba \+ ", "a - ", text, count=1) if " a + " in text else text.replace(" + ", " - ", 1)
    assert wrong != text
    assert not equal(Operators(), Verilog("gate", {"gate": wrong}), cycles=1, skipped=0)


def test_registers_and_memories_are_those_of_amaranth() -> None:
    """A memory that was never written may hold anything, so the first cycles behind the reset are let be."""
    assert equal(Counter(), write_verilog(Counter(), "gate"), cycles=7, skipped=1)
    wrong = {"gate": write_verilog(Counter(), "gate").modules["gate"].replace("9'h001", "9'h002")}
    assert not equal(Counter(), Verilog("gate", wrong), cycles=7, skipped=1)
    assert equal(Pair(), write_verilog(Pair(), "gate"), cycles=8, skipped=4)


def test_equal_modules_are_written_once_and_before_who_needs_them() -> None:
    verilog = write_verilog(Pair(), "gate")
    assert list(verilog.modules) == ["gate_first", "gate"]
    assert re.findall(r"^  (\w+) (\w+) \(", verilog.modules["gate"], re.MULTILINE) == [
        ("gate_first", "first"),
        ("gate_first", "second"),
    ]


def test_names_are_plain_and_nothing_is_left_that_nobody_reads() -> None:
    verilog = write_verilog(Pair(), "gate", {"out": "sum"}, header="made here\nfor a test")
    for name, text in verilog.modules.items():
        assert text.startswith("// made here\n// for a test\nmodule " + name)
        assert "\\" not in text
        assert "$" not in text
        declared = re.findall(
            r"^  (?:wire|reg|input|output) (?:signed )?(?:\[\d+:0\] )?(\w+)", text, re.MULTILINE
        )
        assert not RESERVED & set(declared)
        assert "unread" not in declared
        assert "initial" not in text or name == "gate", "only a table has content before the first clock"
    assert re.search(r"^  output \[7:0\] sum;", verilog.modules["gate"], re.MULTILINE)
    assert verilog == write_verilog(Pair(), "gate", {"out": "sum"}, header="made here\nfor a test")


@pytest.mark.parametrize(
    ("signal", "bits", "to_bits", "is_signed", "expected"),
    [
        (r"\x [3:0]", 4, 6, False, r"{ 2'00 \x [3:0] }"),
        (r"\x [3:0]", 4, 6, True, r"{ \x [3] \x [3] \x [3:0] }"),
        (r"\x [5]", 1, 2, True, r"{ \x [5] \x [5] }"),
        (r"{ \x [1] \y [3:2] }", 3, 4, True, r"{ \x [1] \x [1] \y [3:2] }"),
        (r"{ 2'10 \y [0] }", 3, 4, True, r"{ 1'1 2'10 \y [0] }"),
        ("3'101", 3, 5, True, "5'11101"),
        ("3'101", 3, 5, False, "5'00101"),
        ("{  }", 0, 2, False, "2'00"),
        (r"\x [3:0]", 4, 4, True, r"\x [3:0]"),
    ],
)
def test_signals_are_extended_as_their_sign_has_it(
    signal: str, bits: int, to_bits: int, is_signed: bool, expected: str
) -> None:
    assert extend(signal, bits, to_bits, is_signed) == expected
