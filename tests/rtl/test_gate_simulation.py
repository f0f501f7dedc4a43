"""Netlists in lanes: hanok's own components against the same compiled by CXXRTL, which shares no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.lib import wiring
from float_operands import Clocked
from test_accumulators import SHAPES
from test_simulate import Mixed

from hanok.errors import HanokError
from hanok.rtl.build import ports_of
from hanok.rtl.counters import PerformanceCounters
from hanok.rtl.decode import Decoder
from hanok.rtl.fetch import Fetcher
from hanok.rtl.float_fused import FloatFusedMultiplyAdd
from hanok.rtl.gate_netlist import read_netlist
from hanok.rtl.gate_simulation import GateSimulation
from hanok.rtl.registers import Registers
from hanok.rtl.simulate import Simulation
from hanok.rtl.yosys import run_yosys

CYCLES, LANES, COMPARED = 150, 70, (0, 1, 63, 64, 69)
"""Of the lanes, some are compared; all have inputs of their own."""

COMPONENTS = {
    "memory and stream": Mixed,
    "float fused": lambda: Clocked(FloatFusedMultiplyAdd()),
    "registers": Registers,
    "counters": PerformanceCounters,
    "decoder": Decoder,
    "fetcher": lambda: Fetcher(32, 512, address_bits=40),
    "accumulators": SHAPES[0].design,
}


def traffic(component: wiring.Component, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Bytes [cycle, lane, byte] for each input, which repeat now and then, so that memories are met again."""
    found = {}
    for port in ports_of(component):
        if not port.is_input:
            continue
        size = -(-port.bits // 8)
        given = random.integers(0, 256, (CYCLES, LANES, size), np.uint8)
        if port.bits % 8:
            given[..., -1] &= (1 << port.bits % 8) - 1
        few = random.random((CYCLES, LANES)) < 0.7
        given[few, 1:] = 0
        given[few, 0] &= 7
        if port.bits < 3:
            given[..., 0] &= (1 << port.bits) - 1
        found[port.name] = given
    return found


def words_of(octets: np.ndarray, words: int) -> np.ndarray:
    """Bytes [cycle, byte] as 64-bit words [cycle, word]."""
    whole = np.zeros((len(octets), 8 * words), np.uint8)
    whole[:, : octets.shape[1]] = octets
    return whole.view("<u8")


def text_of(component: wiring.Component, work: Path) -> str:
    """Its Verilog with all initial values, unlike that of a delivery."""
    (work / "design.il").write_text(rtlil.convert(component, name="top", emit_src=False), encoding="utf-8")
    run_yosys("read_rtlil design.il; proc; memory_collect; write_verilog design.v", work)
    return (work / "design.v").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMPONENTS)
def test_lanes_do_what_compiled_designs_do(name: str, tmp_path: Path) -> None:
    component = COMPONENTS[name]()
    given = traffic(component, np.random.default_rng(len(name)))
    netlist = read_netlist([text_of(component, tmp_path)], "clk")
    lanes = GateSimulation(netlist, LANES)
    outputs = [port for port in ports_of(component) if not port.is_input]
    found: dict[str, list[np.ndarray]] = {port.name: [] for port in outputs}
    lanes.step(rst=1)
    lanes.set(rst=0)
    for cycle in range(CYCLES):
        lanes.step(**{port: values[cycle] for port, values in given.items()})
        for port in outputs:
            found[port.name].append(lanes.get_octets(port.name))
    simulation, seen = Simulation(component), 0
    words = {port.name: port.words for port in ports_of(component)}
    for lane in COMPARED:
        simulation.set(**dict.fromkeys(given, 0))
        simulation.renew()
        inputs = {port: words_of(values[:, lane], words[port]) for port, values in given.items()}
        expected = simulation.run(CYCLES, inputs, list(found))
        for port in outputs:
            here = words_of(np.array(found[port.name])[:, lane], port.words)
            there = expected[port.name].reshape(CYCLES, -1).astype(np.uint64)
            mask = np.uint64((1 << (port.bits % 64 or 64)) - 1)
            there[:, -1] &= mask
            assert (here == there).all(), (
                port.name,
                lane,
                np.argwhere(here != there)[:3],
                here[here != there][:4],
                there[here != there][:4],
            )
            seen += len(np.unique(there))
    assert seen > 5 * len(outputs), "the outputs change"


PARTS = """
module parts(input clk, input rst, input enable, input [3:0] d, input [2:0] at, input write, input [7:0] word,
             output reg [3:0] late, output reg [3:0] set, output reg [7:0] read, output [7:0] now);
  reg [7:0] rows [2:6];
  initial begin late = 5; rows[2] = 170; rows[6] = 85; end
  always @(posedge clk or posedge rst) if (rst) set <= 12; else if (enable) set <= d;
  always @(posedge clk) if (enable) late <= d;
  always @(posedge clk) begin if (write) rows[at][5:0] <= word[5:0]; if (enable) read <= rows[at]; end
  assign now = rows[at];
endmodule
"""


def test_enables_resets_initial_values_and_memories() -> None:
    """Against a few lines of Python; the memory's addresses begin at 2, and its high bits are not written."""
    simulation = GateSimulation(read_netlist([PARTS], "clk"), LANES)
    random = np.random.default_rng(3)
    rows = [{2: 170, 3: 0, 4: 0, 5: 0, 6: 85} for _ in range(LANES)]
    late, set_to, read = [5] * LANES, [0] * LANES, [0] * LANES
    for cycle in range(60):
        given = {
            name: random.integers(0, top, LANES).astype(np.uint64)
            for name, top in {"enable": 2, "d": 16, "at": 8, "write": 2, "word": 256}.items()
        }
        given["rst"] = (random.random(LANES) < (1 if cycle == 0 else 0.1)).astype(np.uint64)
        simulation.step(**given)
        for lane in range(LANES):
            rst, enable, d, at, write, word = (
                int(given[name][lane]) for name in ("rst", "enable", "d", "at", "write", "word")
            )
            seen = [int(simulation.get(name)[lane]) for name in ("late", "set", "read", "now")]
            set_to[lane] = 12 if rst else set_to[lane]
            assert seen == [late[lane], set_to[lane], read[lane], rows[lane].get(at, 0)]
            if enable:
                late[lane], set_to[lane], read[lane] = d, 12 if rst else d, rows[lane].get(at, 0)
            if write and at in rows[lane]:
                rows[lane][at] = rows[lane][at] & 0xC0 | word & 0x3F


def test_ports_that_there_are_not() -> None:
    simulation = GateSimulation(read_netlist([PARTS], "clk"), 3)
    for name in ("now", "none"):
        with pytest.raises(HanokError, match=f"no input '{name}'"):
            simulation.set(**{name: 0})
    for name in ("enable", "none"):
        with pytest.raises(HanokError, match=f"no output '{name}'"):
            simulation.get(name)


def given_ways() -> list[Any]:
    return [5, np.array([5, 5, 5]), np.full((3, 1), 5, np.uint8), np.full((3, 2), 5, np.uint8)]


def test_inputs_are_given_in_three_ways() -> None:
    for value in given_ways():
        simulation = GateSimulation(read_netlist([PARTS], "clk"), 3)
        simulation.step(d=value, enable=1)
        simulation.step(d=0, enable=0)
        assert simulation.get("late").tolist() == [5, 5, 5]
