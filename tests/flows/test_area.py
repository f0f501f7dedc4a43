"""`hanok area`: blocks in the cells of a library of six handmade cells."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hanok.errors import HanokError
from hanok.flows.area import BlockArea, block_names, measure, measure_area
from hanok.machine import Chip

AREAS = {"INV": 1.0, "NAND2": 2.0, "NOR2": 2.5, "BUF": 1.5, "DFF": 7.0}


def _timing(pin: str, picoseconds: float) -> str:
    tables = "".join(
        f'{kind} (scalar) {{ values("{picoseconds / 1000}"); }}\n'
        for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    )
    return f'timing () {{ related_pin : "{pin}"; timing_sense : negative_unate;\n{tables} }}\n'


def _gate(name: str, function: str, inputs: str, picoseconds: float) -> str:
    pins = "".join(f"pin({pin}) {{ direction : input; capacitance : 1.0; }}\n" for pin in inputs)
    timing = "".join(_timing(pin, picoseconds) for pin in inputs)
    output = f'pin(Y) {{ direction : output; function : "{function}"; max_capacitance : 100;\n{timing} }}\n'
    return f"cell({name}) {{ area : {AREAS[name]};\n{pins}{output} }}\n"


def liberty(without: str = "") -> str:
    """Six cells whose delay does not depend on their load."""
    cells = {
        "INV": _gate("INV", "!A", "A", 10),
        "NAND2": _gate("NAND2", "!(A&B)", "AB", 20),
        "NOR2": _gate("NOR2", "!(A|B)", "AB", 20),
        "BUF": _gate("BUF", "A", "A", 15),
        "DFF": f"""cell(DFF) {{ area : {AREAS["DFF"]};
            ff(IQ, IQN) {{ clocked_on : "C"; next_state : "D"; }}
            pin(C) {{ direction : input; clock : true; capacitance : 1.0; }}
            pin(D) {{ direction : input; capacitance : 1.0; }}
            pin(Q) {{ direction : output; function : "IQ"; }} }}""",
    }
    head = """library(hand) { delay_model : table_lookup; time_unit : "1ns"; voltage_unit : "1V";
        current_unit : "1uA"; capacitive_load_unit (1, ff); pulling_resistance_unit : "1kohm";
        default_max_transition : 10;
        """
    return head + "\n".join(text for name, text in cells.items() if name != without) + "}\n"


class Parts(wiring.Component):
    """Eight registers behind NANDs, and a memory of 32 words of 9 bits."""

    def __init__(self) -> None:
        super().__init__(
            {
                "a": In(8),
                "b": In(8),
                "o": Out(8),
                "address": In(5),
                "data": In(9),
                "en": In(1),
                "found": Out(9),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held = Signal(8, reset_less=True)
        m.d.sync += held.eq(~(self.a & self.b))
        m.d.comb += self.o.eq(held)
        m.submodules.store = store = memory.Memory(shape=9, depth=32, init=[])
        read, write = store.read_port(domain="comb"), store.write_port()
        m.d.comb += [read.addr.eq(self.address), write.addr.eq(self.address), write.data.eq(self.data)]
        m.d.comb += [write.en.eq(self.en), self.found.eq(read.data)]
        return m


def measured(library: str) -> BlockArea:
    return measure("parts", str(rtlil.convert(Parts(), name="top", emit_src=False)), library, 1000, "BUF")


def test_cells_flip_flops_memories_and_delay() -> None:
    found = measured(liberty())
    assert found.flip_flops == 8
    assert found.memory_bits == 32 * 9
    nands, buffers = 8 * AREAS["NAND2"], 8 * AREAS["BUF"]
    assert found.area == pytest.approx(8 * AREAS["DFF"] + nands + buffers), "ABC buffers each output"
    assert found.cells == 24
    assert found.delay_ps == pytest.approx(20 + 15)


def test_a_library_without_flip_flops_is_refused() -> None:
    with pytest.raises(
        HanokError, match=r"the cells do not make block 'parts': .* flip-flops are not supported"
    ):
        measured(liberty(without="DFF"))


def test_a_library_without_a_buffer_is_asked_for_one(tmp_path: Path) -> None:
    path = tmp_path / "cells.lib"
    path.write_text(liberty(without="BUF"))
    with pytest.raises(HanokError, match=r"no cell is called a buffer; name one with --driving-cell"):
        measure_area(Chip.load("nano"), path, ["counters"], 100, "", lambda _: None)


def test_a_block_that_does_not_exist() -> None:
    with pytest.raises(HanokError, match="block 'none' is not known; blocks: array, matrix, vector,"):
        block_names(["matrix", "none"])
    assert block_names(["array"]) == ("array",)


def test_a_block_of_a_chip(tmp_path: Path) -> None:
    """Its queues are memories, its counters flip-flops."""
    path = tmp_path / "cells.lib"
    path.write_text(liberty())
    (found,) = measure_area(Chip.load("nano"), path, ["dispatch"], 100, "", lambda _: None)
    assert found.block == "dispatch"
    assert found.area > found.flip_flops * AREAS["DFF"] > 0
    assert found.memory_bits > 0
    assert found.delay_ps > 0


class Registers(wiring.Component):
    """A register behind a NAND of two registers."""

    def __init__(self) -> None:
        super().__init__({"a": In(2), "o": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        held, o = Signal(2, reset_less=True), Signal(reset_less=True)
        m.d.sync += [held.eq(self.a), o.eq(~(held[0] & held[1]))]
        m.d.comb += self.o.eq(o)
        return m


def registers_measured(period_ps: float) -> BlockArea:
    return measure(
        "registers", str(rtlil.convert(Registers(), name="top", emit_src=False)), timed(), period_ps, "BUF"
    )


def timed() -> str:
    """The library whose flip-flop takes 50 ps to its output and 30 ps of setup."""
    edge = "".join(
        f'{kind} (scalar) {{ values("0.05"); }}\n'
        for kind in ("cell_rise", "cell_fall", "rise_transition", "fall_transition")
    )
    output = f'timing () {{ related_pin : "C"; timing_type : rising_edge;\n{edge} }}'
    checks = "".join(
        f'timing () {{ related_pin : "C"; timing_type : {kind};\n'
        f'rise_constraint (scalar) {{ values("0.03"); }}\nfall_constraint (scalar) {{ values("0.03"); }} }}\n'
        for kind in ("setup_rising",)
    )
    thresholds = "".join(
        f"{kind}_pct_{edge} : {percent};\n"
        for kind, percent in (
            ("input_threshold", 50),
            ("output_threshold", 50),
            ("slew_lower_threshold", 20),
            ("slew_upper_threshold", 80),
        )
        for edge in ("rise", "fall")
    )
    text = liberty().replace("default_max", f"{thresholds}default_max")
    text = text.replace('function : "IQ";', f'function : "IQ";\n{output}')
    return text.replace(
        "pin(D) { direction : input; capacitance : 1.0; }",
        f"pin(D) {{ direction : input; capacitance : 1.0;\n{checks} }}",
    )


def with_sta(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put an OpenSTA on the PATH that runs a shell script."""
    program = folder / "sta"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_the_slack_of_a_static_timing_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets library, netlist and clock; its last word on slack counts."""
    checks = "grep -q DFF netlist.v && grep -q 'period 800' timing.tcl && test -s cells.lib"
    with_sta(tmp_path, monkeypatch, f"{checks} && echo 'worst slack -200.00'")
    found = registers_measured(800)
    assert found.slack_ps == -200
    assert found.static_delay_ps == 1000
    with_sta(tmp_path, monkeypatch, "echo 'worst slack INF'")
    assert registers_measured(800).slack_ps is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Error: no such cell'; exit 1", "block 'registers': Error: no such cell"),
        ("echo 'worst slack 5.0'; exit 3", "block 'registers': worst slack 5.0"),
        ("echo 'worst slack nonsense'", "block 'registers': worst slack nonsense"),
        ("echo 'worst slack nan'", "gives no slack"),
        ("printf '\\377\\376'", "gives no slack"),
        ("true", "it says nothing"),
    ],
)
def test_a_static_timing_tool_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    with_sta(tmp_path, monkeypatch, script)
    with pytest.raises(HanokError, match=f"sta gives no slack of .*{words}|{words}"):
        registers_measured(800)


def test_without_a_static_timing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert registers_measured(800).slack_ps is None


@pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed")
def test_opensta_counts_clock_to_output_and_setup() -> None:
    """50 ps, the NAND's 20, and 30 ps; an inverter and the two make the same function another way."""
    found = registers_measured(500)
    assert found.slack_ps is not None
    assert 100 <= found.static_delay_ps <= 130
