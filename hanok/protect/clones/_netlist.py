"""Yosys' JSON as netlists of cells and bits, checked as a stranger's file is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hanok.errors import HanokError

Bit = int | str
"""The number of a net, or the constant '0', '1', 'x' or 'z'."""


@dataclass(frozen=True)
class Cell:
    """A cell: bits by port; `is_output` says which ports it drives."""

    name: str
    kind: str
    ports: Mapping[str, tuple[Bit, ...]]
    outputs: frozenset[str]
    source: str
    """Where it comes from, as Yosys writes it: file:line.column-line.column; empty where unknown."""

    @property
    def is_register(self) -> bool:
        """Whether it holds state: a flip-flop or a latch, of a word or of a bit."""
        return is_register(self.kind)


@dataclass(frozen=True)
class Netlist:
    """A flat module."""

    name: str
    cells: tuple[Cell, ...]
    inputs: tuple[Bit, ...]
    outputs: tuple[Bit, ...]
    names: Mapping[int, str]
    """The name of a net's bit, the shortest that it has."""


_WORD_REGISTERS = ("$dff", "$adff", "$sdff", "$aldff", "$dlatch", "$adlatch", "$ff", "$sr", "$dffsr", "$dffe")
_BIT_REGISTERS = ("$_DFF", "$_SDFF", "$_ALDFF", "$_DLATCH", "$_FF_", "$_SR_")


def is_register(kind: str) -> bool:
    """Whether a cell of Yosys' of this type holds state, memories aside."""
    return (
        kind.startswith((*_WORD_REGISTERS, *_BIT_REGISTERS))
        and not kind.startswith("$sr_")
        and kind not in ("$shr", "$sshr")
    )


def read_netlists(text: str, where: str) -> list[Netlist]:
    """Return the modules of a file that Yosys' write_json wrote.

    Raises HanokError where the text is none.
    """
    try:
        modules = json.loads(text)["modules"]
        return [_netlist(name, content) for name, content in modules.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HanokError(
            f"{where}: is no netlist that Yosys' write_json wrote ({type(error).__name__}); "
            "give that, or Verilog"
        ) from None


def _netlist(name: str, content: Any) -> Netlist:
    cells = tuple(_cell(each, content["cells"][each]) for each in content["cells"])
    ports = content["ports"].values()
    bits = {
        way: tuple(_bit(bit) for port in ports if port["direction"] == way for bit in port["bits"])
        for way in ("input", "output")
    }
    names: dict[int, str] = {}
    for net, details in content["netnames"].items():
        whole = [_bit(bit) for bit in details["bits"]]
        for place, bit in enumerate(whole):
            label = net if len(whole) == 1 else f"{net}[{place}]"
            if isinstance(bit, int) and _is_better(label, names.get(bit)):
                names[bit] = label
    return Netlist(str(name), cells, bits["input"], bits["output"], names)


def _is_better(label: str, known: str | None) -> bool:
    return known is None or ("$" in label, len(label), label) < ("$" in known, len(known), known)


def _cell(name: str, content: Any) -> Cell:
    ways = content.get("port_directions", {})
    ports = {str(port): tuple(map(_bit, bits)) for port, bits in content["connections"].items()}
    outputs = frozenset(port for port in ports if ways.get(port, "input") != "input")
    source = content.get("attributes", {}).get("src", "")
    return Cell(str(name), str(content["type"]), ports, outputs, source if isinstance(source, str) else "")


def _bit(value: Any) -> Bit:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError("a bit is a number or a constant")
    return value
