"""Features of a netlist of words: what stands around a cell, and which register depends on which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from hanok.protect.clones._netlist import Bit, Cell, Netlist
from hanok.protect.clones.features import Place, label

ROUNDS = 3
"""Of Weisfeiler and Lehman's refinement: a label then tells the cells up to so many before a cell."""
MAX_CONE = 4_000
"""Cells before a register that are walked; what lies further is another's work."""
_COMMUTATIVE = frozenset(
    ("$add", "$mul", "$and", "$or", "$xor", "$xnor", "$eq", "$ne", "$eqx", "$nex", "$logic_and", "$logic_or")
)
_CLOCKS = frozenset(("CLK", "C", "RD_CLK", "WR_CLK", "ARST", "SET", "CLR", "R", "S"))
"""Clocks and asynchronous resets, which every register has."""
Locate = Callable[[Cell], Place]
Drivers = dict[int, tuple[int, str]]


def drivers_of(netlist: Netlist) -> Drivers:
    """Return which cell, by its number, drives a net's bit, and from which port."""
    return {
        bit: (number, port)
        for number, cell in enumerate(netlist.cells)
        for port in cell.outputs
        for bit in cell.ports[port]
        if isinstance(bit, int)
    }


def cell_features(netlist: Netlist, locate: Locate) -> Iterator[tuple[int, Place]]:
    """Yield for each cell the labels of two neighbourhoods, without names; ports count by their role.

    The wider neighbourhood knows neither widths nor constants, the nearer one knows both.
    """
    drivers = drivers_of(netlist)
    shapes = [_inputs(cell, drivers) for cell in netlist.cells]
    exact = [label("cell", _kind(cell), _widths(cell)) for cell in netlist.cells]
    loose = [label("cell", _kind(cell)) for cell in netlist.cells]
    for turn in range(ROUNDS):
        loose = [
            _refined(cell, loose, shape, False) for cell, shape in zip(netlist.cells, shapes, strict=True)
        ]
        if turn < ROUNDS - 1:
            exact = [
                _refined(cell, exact, shape, True) for cell, shape in zip(netlist.cells, shapes, strict=True)
            ]
    for number, cell in enumerate(netlist.cells):
        if shapes[number]:
            place = locate(cell)
            yield loose[number], place
            yield exact[number], place


def _kind(cell: Cell) -> str:
    if cell.is_register:
        return "register"
    return cell.kind if cell.kind.startswith("$") else "box"


def _widths(cell: Cell) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((port, len(bits)) for port, bits in cell.ports.items()))


Shape = tuple[tuple[str, tuple[int | str, ...]], ...]
"""By port: the numbers of the cells that drive it, in the order of its bits, and its constants."""


def _inputs(cell: Cell, drivers: Drivers) -> Shape:
    found = []
    for port, bits in sorted(cell.ports.items()):
        if port in cell.outputs or port in _CLOCKS:
            continue
        sources: dict[int | str, None] = {}
        constant = ""
        for bit in bits:
            if isinstance(bit, int):
                sources[drivers[bit][0] if bit in drivers else "input"] = None
            else:
                constant += bit
        if constant:
            sources["=" + constant] = None
        found.append((port, tuple(sources)))
    return tuple(found)


def _refined(cell: Cell, labels: list[int], shape: Shape, is_exact: bool) -> int:
    ports = []
    for port, sources in shape:
        known = {
            labels[source] if isinstance(source, int) else source if is_exact else source[0]
            for source in sources
        }
        role = "" if cell.kind in _COMMUTATIVE else port
        ports.append((role, tuple(sorted(map(str, known)))))
    return label(_kind(cell), _widths(cell) if is_exact else (), sorted(ports))


def register_features(netlist: Netlist, locate: Locate) -> Iterator[tuple[int, Place]]:
    """Yield labels of each register: what it depends on through gates, as widths and as bare counts.

    What depends on what survives another synthesis; which gates lie between does not.
    """
    drivers = drivers_of(netlist)
    registers = [number for number, cell in enumerate(netlist.cells) if cell.is_register]
    fed = {number: _register_sources(netlist, number, drivers) for number in registers}
    widths = {number: _width(netlist.cells[number]) for number in registers}
    feeds: dict[int, list[int]] = defaultdict(list)
    for number, (sources, _) in fed.items():
        for source in sources:
            feeds[source].append(number)
    exact = {
        number: label(
            "exact", widths[number], number in fed[number][0], sorted(widths[each] for each in fed[number][0])
        )
        for number in registers
    }
    loose = {
        number: label("loose", number in fed[number][0], len(fed[number][0]), len(feeds[number]))
        for number in registers
    }
    for number in registers:
        place = locate(netlist.cells[number])
        sources, inputs = fed[number]
        near = [label("next", exact[number], sorted(exact[each] for each in sources))]
        near.append(label("loose next", loose[number], sorted(loose[each] for each in sources)))
        near.append(label("after", exact[number], sorted(exact[each] for each in feeds[number])))
        yield label(exact[number], inputs > 0), place
        for each in near:
            yield each, place


def _width(cell: Cell) -> int:
    return max(len(cell.ports[port]) for port in cell.outputs) if cell.outputs else 0


def _register_sources(netlist: Netlist, number: int, drivers: Drivers) -> tuple[frozenset[int], int]:
    """Return the registers and memories that a register depends on through gates, and how many input bits."""
    cell = netlist.cells[number]
    waiting: list[Bit] = [bit for port, bits in _data(cell) for bit in bits]
    seen_cells: set[int] = set()
    sources: set[int] = set()
    inputs: set[int] = set()
    while waiting and len(seen_cells) < MAX_CONE:
        bit = waiting.pop()
        if not isinstance(bit, int):
            continue
        if bit not in drivers:
            inputs.add(bit)
            continue
        driver = drivers[bit][0]
        if netlist.cells[driver].is_register:
            sources.add(driver)
        elif driver not in seen_cells:
            seen_cells.add(driver)
            waiting += [each for _, bits in _data(netlist.cells[driver]) for each in bits]
    return frozenset(sources), len(inputs)


def _data(cell: Cell) -> Iterator[tuple[str, tuple[Bit, ...]]]:
    for port, bits in cell.ports.items():
        if port not in cell.outputs and port not in _CLOCKS:
            yield port, bits
