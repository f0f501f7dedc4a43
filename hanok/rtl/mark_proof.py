"""Proof that marks change nothing but what is open: two cores compared gate by gate, state by state.

With the data of the control port cut off, nothing that a core answers reads its marks. What is left of a
marked core must be the unmarked one: the same registers and memories, each with the same logic before it.
What the data may be is a property of `Registers` alone, and small enough for a solver
(`tests/rtl/test_marks.py`).
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from hanok.machine import Chip
from hanok.rtl.core import Core
from hanok.rtl.yosys import run_yosys

_SCRIPT = (
    "read_rtlil design.il; hierarchy -check -top top; proc; flatten; memory_collect; "
    "delete -output top/w:bus__rdata; opt_clean -purge; write_json design.json"
)
STATES = ("$dff", "$dffe", "$sdff", "$sdffe", "$sdffce", "$aldff", "$adff", "$mem_v2")
_NUMBER = re.compile(r"\$(\d+)")
Logic = dict[str, str]
"""By state element or output: a digest of its kind and of all logic before its inputs."""


def same_but_for_answers(chip: Chip, marks: Sequence[int]) -> bool:
    """Whether the core of a chip with these marks is the core without, but for the data of its control port.

    Sound, not complete: equal logic that is written differently counts as different.
    """
    return core_logic(Core(chip, marks=marks)) == core_logic(Core(chip))


def core_logic(core: Any) -> Logic:
    """Return all that decides what a core does at its ports, the data of the control port left out."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        text = rtlil.convert(core, name="top", emit_src=False)
        (work / "design.il").write_text(text, encoding="utf-8")
        run_yosys(_SCRIPT, work)
        design = json.loads((work / "design.json").read_bytes())
    return _Netlist(design["modules"]["top"]).logic()


class _Netlist:
    """A flat module; a bit is a number, or a constant as text."""

    def __init__(self, module: dict[str, Any]) -> None:
        self._cells: dict[str, Any] = module["cells"]
        self._ports: dict[str, Any] = module["ports"]
        self._names: dict[Any, str] = {}
        nets = {name: net["bits"] for name, net in module["netnames"].items() if not net["hide_name"]}
        for name, own in _without_numbers(nets).items():
            for place, bit in enumerate(nets[name]):
                self._names.setdefault(bit, f"{own}[{place}]")
        self._driver = {
            bit: (cell, port, place)
            for cell, content in self._cells.items()
            for port, bits in content["connections"].items()
            if content["port_directions"][port] == "output"
            for place, bit in enumerate(bits)
        }
        self._known: dict[Any, str] = {}
        self._of_cell: dict[str, str] = {}

    def logic(self) -> Logic:
        """Return the digests of all state elements, by the names of what they drive, and of the outputs."""
        found = {}
        for content in self._cells.values():
            if content["type"] in STATES:
                found[self._state(content)] = self._digest(content)
        for name, port in self._ports.items():
            if port["direction"] == "output":
                found[f"port {name}"] = _hash(*(self._signal(bit) for bit in port["bits"]))
        return found

    def _state(self, content: dict[str, Any]) -> str:
        outputs = [
            self._names.get(bit, "")
            for port, bits in sorted(content["connections"].items())
            if content["port_directions"][port] == "output"
            for bit in bits
        ]
        assert any(outputs), "a register has a name"
        return " ".join(outputs)

    def _digest(self, content: dict[str, Any]) -> str:
        """Of a cell: its kind, and the logic before its inputs."""
        inputs = [
            _hash(port, *(self._signal(bit) for bit in bits))
            for port, bits in sorted(content["connections"].items())
            if content["port_directions"][port] == "input"
        ]
        parameters = {key: value for key, value in content["parameters"].items() if key != "MEMID"}
        return _hash(content["type"], json.dumps(parameters, sort_keys=True), *inputs)

    def _signal(self, bit: Any) -> str:
        """Of a bit: constants and what has state by name, all else by what computes it."""
        waiting = [bit]
        while waiting:
            now = waiting[-1]
            if now in self._known:
                waiting.pop()
                continue
            cell, port, place = self._driver.get(now, ("", "", 0))
            if not cell or self._cells[cell]["type"] in STATES:
                self._known[now] = f"{self._names.get(now, now)}"
            elif cell in self._of_cell:
                self._known[now] = f"{self._of_cell[cell]} {port} {place}"
            elif missing := [source for source in self._sources(cell) if source not in self._known]:
                waiting += missing
            else:
                self._of_cell[cell] = self._digest(self._cells[cell])
        return self._known[bit]

    def _sources(self, cell: str) -> list[Any]:
        content = self._cells[cell]
        return [
            bit
            for port, bits in content["connections"].items()
            if content["port_directions"][port] == "input"
            for bit in bits
        ]


def _without_numbers(names: Iterable[str]) -> dict[str, str]:
    """Return names in order, without the numbers by which Amaranth keeps equal ones apart.

    These depend on all that there is in a module; what is left is told apart by its place among its equals.
    """
    found, seen = {}, Counter[str]()
    ordered = sorted(names, key=lambda name: [int(part) for part in _NUMBER.findall(name)])
    for name in sorted(ordered, key=lambda name: _NUMBER.sub("", name)):
        plain = _NUMBER.sub("", name)
        seen[plain] += 1
        found[name] = f"{plain} {seen[plain]}"
    return found


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
