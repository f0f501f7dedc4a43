"""RTLIL text in parts: its modules, their wires, cells, connections and processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

NAME = re.compile(r"(?<!\S)[\\$]\S+")
"""A name: `\\public` or `$automatic`, between spaces."""
_OPENS = ("cell ", "process ", "switch ")


@dataclass
class Item:
    """A statement of a module with all lines in it: `kind` is its first word."""

    lines: list[str]

    @property
    def kind(self) -> str:
        return self.lines[0].split(None, 1)[0]

    @property
    def words(self) -> list[str]:
        """Words of the first line."""
        return self.lines[0].split()

    def parameter(self, name: str) -> int:
        """A cell's parameter that is a number; 0 where it has none."""
        for line in self.lines:
            words = line.split()
            if words[:2] == ["parameter", f"\\{name}"]:
                return int(words[2])
        return 0

    def find(self, port: str) -> int:
        """Line of a cell that connects its `port`."""
        start = f"connect \\{port} "
        return next(place for place, line in enumerate(self.lines) if line.lstrip().startswith(start))

    def connected(self, port: str) -> str:
        """What is connected to a cell's `port`."""
        return self.lines[self.find(port)].split(None, 2)[2]

    def connect(self, port: str, signal: str) -> None:
        self.lines[self.find(port)] = f"    connect \\{port} {signal}"

    def set_parameter(self, name: str, value: int) -> None:
        for place, line in enumerate(self.lines):
            if line.split()[:2] == ["parameter", f"\\{name}"]:
                self.lines[place] = f"    parameter \\{name} {value}"


@dataclass
class Unit:
    """A module: its name and its statements, in order, without attributes."""

    name: str
    items: list[Item] = field(default_factory=list)

    def text(self) -> str:
        lines = [line for item in self.items for line in item.lines]
        return "\n".join([f"module {self.name}", *lines, "end", ""])


def parse(text: str) -> list[Unit]:
    """Split what `amaranth.back.rtlil.convert` gives into modules, without attributes and initial values."""
    units: list[Unit] = []
    depth, lines = 0, list[str]()
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("attribute "):
            continue
        if stripped.startswith("module "):
            units.append(Unit(stripped.split()[1]))
        elif depth == 0 and stripped == "end":
            continue
        else:
            depth += stripped.startswith(_OPENS) - (stripped == "end")
            lines.append(line)
            if depth == 0:
                units[-1].items.append(Item(lines))
                lines = []
    return units


def names_in(line: str) -> Iterator[str]:
    """Names in a line, in order, but for ports of cells; a parameter has none, it is a number or a memory."""
    stripped = line.lstrip()
    if stripped.startswith("parameter "):
        return
    if line.startswith("    connect "):
        stripped = stripped.split(None, 2)[2]
    yield from NAME.findall(stripped)


def is_port(item: Item) -> bool:
    """Whether a statement declares a port."""
    return item.kind == "wire" and ("input" in item.words or "output" in item.words)


def highest_bit(signal: str) -> str:
    """The highest bit of a signal `name`, `name [bit]`, `name [high:low]`, `size'bits` or `{ ... }`."""
    if signal.startswith("{"):
        inner = signal[1:].strip()
        bit = re.match(r"(\S+(?: \[\d+(?::\d+)?\])?)", inner)
        assert bit is not None, "a concatenation that is extended is not empty"
        return highest_bit(bit.group(1))
    constant = re.fullmatch(r"\d+'([01x-]+)", signal)
    if constant:
        return f"1'{constant.group(1)[0]}"
    place = re.fullmatch(r"(\S+) \[(\d+)(?::\d+)?\]", signal)
    assert place is not None, f"'{signal}' names its bits"
    return f"{place.group(1)} [{place.group(2)}]"


def extend(signal: str, bits: int, to_bits: int, is_signed: bool) -> str:
    """Return a signal of `bits` with as many as it takes to `to_bits` before it, of its sign or zero."""
    more = to_bits - bits
    if more <= 0:
        return signal
    constant = re.fullmatch(r"\d+'([01]+)", signal)
    if bits == 0:
        return f"{to_bits}'{'0' * to_bits}"
    if constant:
        fill = constant.group(1)[0] if is_signed else "0"
        return f"{to_bits}'{fill * more}{constant.group(1)}"
    inner = signal[1:-1].strip() if signal.startswith("{") else signal
    before = " ".join([highest_bit(signal)] * more) if is_signed else f"{more}'{'0' * more}"
    return f"{{ {before} {inner} }}"
