"""What a stranger's Verilog may be: what is refused says why, in plain and bounded words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hanok.errors import HanokError
from hanok.rtl import _gate_list, gate_netlist
from hanok.rtl.gate_netlist import NAME_CHARACTERS, read_netlist
from hanok.rtl.gate_simulation import GateSimulation

HOSTILE = "évil" * 100
LOOP = """
module inverter(input a, output y); assign y = ~a; endmodule
module ring(input clk, input go, output out);
  wire b, c, turns;
  inverter x(.a(turns & go), .y(b));
  inverter y(.a(b), .y(c));
  inverter z(.a(c), .y(turns));
  assign out = turns;
endmodule"""
REFUSED = {
    "module broken (input": "could not translate the design",
    '`include "/etc/hostname"': "could not translate the design",
    "module m(input clk, output y); foundry_nand x(.a(clk), .y(y)); endmodule": "is not part of the design",
    "module m(input other, output y); assign y = other; endmodule": "no input 'clk' of one bit",
    "module m(input [1:0] clk, output y); assign y = clk[0]; endmodule": "no input 'clk' of one bit",
    LOOP: "a loop of gates without a register, at or before '",
    "module m(input clk, input d, output reg q); always @(negedge clk) q <= d; endmodule": (
        r"clocks '.*' by 'clk'; allowed: the rising edge of 'clk' alone"
    ),
    "module m(input clk, input slow, input d, output reg q); always @(posedge slow) q <= d; endmodule": (
        "by 'slow'; allowed: the rising edge"
    ),
    "module m(input clk, input on, input d, output reg q); wire g = clk & on; "
    "always @(posedge g) q <= d; endmodule": "by 'g'; allowed: .* gated or divided becomes an enable",
    "module m(input clk, input d, output reg q); reg half; always @(posedge clk) half <= ~half; "
    "always @(posedge half) q <= d; endmodule": "by 'half'; allowed",
    "module m(input clk, input w, input [1:0] a, input d, output q); reg r [0:3]; assign q = r[a]; "
    "always @(posedge w) r[a] <= d; endmodule": "by 'w'; allowed",
    "module m(input clk, input on, input d, output reg q); always @* if (on) q = d; endmodule": (
        r"a cell '\$ff' .*known are gates, flip-flops of one clock and memories.*latches"
    ),
    "(* blackbox *) module box(input a, output y); endmodule\n"
    "module m(input clk, output y); box x(.a(clk), .y(y)); endmodule": "a cell 'box'",
    "module m(input clk, input a, output y); assign y = a; assign y = clk; endmodule": "drives '[ay]' twice",
    "module m(input clk, input [3:0] a, output y); \\$mux x(.A(a), .S(a[1:0]), .Y(y)); endmodule": (
        "whose ports do not fit it|could not translate"
    ),
}


def writes(work: Path, text: str) -> None:
    (work / "design.json").write_text(text)


@pytest.mark.parametrize("source", REFUSED)
def test_what_is_refused(source: str) -> None:
    with pytest.raises(HanokError, match=REFUSED[source]):
        read_netlist([source], "clk")


def test_a_strangers_names_are_bounded() -> None:
    source = f"module m(input clk, input d, output q); \\{HOSTILE} x(.d(d), .q(q)); endmodule\n"
    source += f"(* blackbox *) module \\{HOSTILE} (input d, output q); endmodule"
    with pytest.raises(HanokError) as found:
        read_netlist([source], "clk")
    said = str(found.value)
    assert said.isascii()
    assert said.isprintable()
    assert "vil" in said
    assert len(said) < 400 + NAME_CHARACTERS


def test_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "module m(input clk, input [31:0] a, output [31:0] y); assign y = a * a; endmodule"
    read_netlist([source], "clk")
    monkeypatch.setattr(_gate_list, "MOST_NETS", 1000)
    with pytest.raises(HanokError, match="more than 1,000 gates; give the core alone"):
        read_netlist([source], "clk")
    memory = "module m(input clk, input [9:0] a, output y); reg r [0:1023]; assign y = r[a]; endmodule"
    monkeypatch.setattr(gate_netlist, "MOST_MEMORY_BITS", 1000)
    with pytest.raises(HanokError, match="more than 0 MiB of memory; give the core alone"):
        read_netlist([memory], "clk")
    monkeypatch.setattr(gate_netlist, "run_yosys", lambda script, work, alone: writes(work, "{"))
    with pytest.raises(HanokError, match="could not write the netlist; give the core alone"):
        read_netlist([source], "clk")
    monkeypatch.setattr(gate_netlist, "MOST_NETLIST_BYTES", 0)
    with pytest.raises(HanokError, match="a netlist of more than 0 MiB; give the core alone"):
        read_netlist([source], "clk")


CLOCKS = """
module buffer(input a, output y); assign y = a; endmodule
module inverter(input a, output y); assign y = ~a; endmodule
module m(input clk, input [1:0] d, output reg [1:0] q);
  wire tree, not_clk, twice;
  buffer b(.a(clk), .y(tree));
  inverter i(.a(tree), .y(not_clk));
  inverter j(.a(not_clk), .y(twice));
  always @(posedge tree) q[0] <= d[0];
  always @(negedge not_clk) q[1] <= d[1];
endmodule"""


def test_a_clock_may_go_through_buffers_and_inverters() -> None:
    simulation = GateSimulation(read_netlist([CLOCKS], "clk"), 4)
    simulation.step(d=np.arange(4, dtype=np.uint64))
    simulation.step(d=0)
    assert simulation.get("q").tolist() == [0, 1, 2, 3]


LIBRARY = """
module leaf(input a, output y); assign y = ~a; endmodule
module cell_of_cells(input a, output y); leaf x(.a(a), .y(y)); endmodule
module library_cell(input a, output y); cell_of_cells x(.a(a), .y(y)); endmodule
"""
CORE = "module core(input clk, input told, output y); leaf x(.a(told), .y(y)); endmodule"
SYSTEM = "module system(input clk, output y); core x(.clk(clk), .told(1'b0), .y(y)); endmodule"


def test_a_module_is_known_by_an_input() -> None:
    """Cells of the library that nothing uses, and the system around it, do not matter."""
    netlist = read_netlist([LIBRARY, CORE, SYSTEM], "clk", known_by="told")
    assert list(netlist.ports) == ["clk", "told", "y"]
    with pytest.raises(HanokError, match="no module of the design has an input 'none'"):
        read_netlist([LIBRARY, CORE], "clk", known_by="none")


def test_what_is_not_driven_is_zero() -> None:
    source = "module m(input clk, output [2:0] y, output z); wire w; assign y = {1'bx, w, 1'b1}; endmodule"
    simulation = GateSimulation(read_netlist([source], "clk"), 1)
    simulation.step()
    assert (simulation.get("y")[0], simulation.get("z")[0]) == (1, 0)
