"""Features of a netlist of gates: what function of what each flip-flop becomes, whatever gates make it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from hanok.protect.clones._netlist import Bit, Cell, Netlist
from hanok.protect.clones.features import label

MAX_EXACT_INPUTS = 9
"""A function of so many bits or fewer is told exactly, a wider one by how many bits it depends on."""
MAX_SUPPORT_BYTES = 1 << 30
"""Of all sets of what a gate depends on, before which a netlist counts as too large."""
_GATES = ("$_AND_", "$_NOT_")
Literal = int
"""Twice the number of a node, and one more where inverted; node 0 is constantly false."""


@dataclass(frozen=True)
class _Graph:
    """Sources first, then gates, each after those that it takes."""

    sources: int
    """Nodes 1 .. sources are outputs of flip-flops, inputs, and outputs of boxes."""
    left: list[Literal]
    right: list[Literal]
    flip_flops: list[tuple[Cell, int, Literal, tuple[Literal, ...]]]
    """A cell, the node that it drives, the literal that it takes, and what opens it if it is a latch.

    Asynchronous resets are left out: a copy may have them made synchronous.
    """


def _graph(netlist: Netlist) -> _Graph:
    """Return gates and flip-flops of a netlist; loops of gates are cut where they are met."""
    gates = {cell.ports["Y"][0]: cell for cell in netlist.cells if cell.kind in _GATES and "Y" in cell.ports}
    literals: dict[Bit, Literal] = {"0": 0, "1": 1, "x": 0, "z": 0}
    states = [cell for cell in netlist.cells if cell.is_register and len(cell.ports.get("Q", ())) == 1]
    used = [*(bit for cell in states for bit in cell.ports["Q"]), *netlist.inputs]
    for cell in netlist.cells:
        used += [bit for port, bits in cell.ports.items() for bit in bits if cell.kind not in _GATES]
        used += [bit for port, bits in cell.ports.items() if port != "Y" for bit in bits]
    for bit in used:
        if isinstance(bit, int) and bit not in gates and bit not in literals:
            literals[bit] = 2 * (len(literals) - 3)
    sources = len(literals) - 4
    left, right = [0] * (sources + 1), [0] * (sources + 1)
    for bit in gates:
        _build(bit, gates, literals, left, right)
    flip_flops = []
    for cell in states:
        if cell.ports["Q"][0] in gates or "D" not in cell.ports:
            continue
        others = [cell.ports["E"]] if cell.kind.startswith("$_DLATCH") and "E" in cell.ports else []
        control = tuple(literals.get(bit, 0) for bits in others for bit in bits)
        taken = literals.get(cell.ports["D"][0], 0)
        flip_flops.append((cell, literals[cell.ports["Q"][0]] >> 1, taken, control))
    return _Graph(sources, left, right, flip_flops)


def _build(
    bit: Bit, gates: dict[Bit, Cell], literals: dict[Bit, Literal], left: list[int], right: list[int]
) -> None:
    waiting = [bit]
    opened: set[Bit] = set()
    while waiting:
        each = waiting[-1]
        if each in literals:
            waiting.pop()
            continue
        cell = gates[each]
        needed = [cell.ports[port][0] for port in ("A", "B") if port in cell.ports]
        missing = [other for other in needed if other not in literals and other not in opened]
        opened.add(each)
        if missing:
            waiting += missing
            continue
        waiting.pop()
        taken = [literals.get(other, 0) for other in needed]
        if cell.kind == "$_NOT_":
            literals[each] = taken[0] ^ 1
        else:
            literals[each] = 2 * len(left)
            left.append(taken[0])
            right.append(taken[-1])


def gate_features(netlist: Netlist) -> Iterator[tuple[int, Cell]]:
    """Yield labels of each flip-flop: its next value as a function, and the functions of those it takes.

    A function counts the same when its inputs are permuted or inverted or itself inverted (the absolute
    Walsh spectrum by order), so that neither names nor gates nor an inverted register matter.
    Nothing for a netlist whose dependencies would not fit in memory.
    """
    graph = _graph(netlist)
    if (len(graph.left) - graph.sources) * graph.sources // 8 > MAX_SUPPORT_BYTES:
        return
    supports = _supports(graph)
    owner = {node: number for number, (_, node, _, _) in enumerate(graph.flip_flops)}
    fed: list[list[int]] = []
    first: list[int] = []
    for _, node, taken, control in graph.flip_flops:
        support = supports[taken >> 1]
        for each in control:
            support |= supports[each >> 1]
        nodes = _members(support)
        fed.append([owner[source] for source in nodes if source in owner])
        first.append(_function_label(graph, supports, node, taken, nodes, bool(control)))
    feeds: dict[int, list[int]] = defaultdict(list)
    for number, sources in enumerate(fed):
        for source in sources:
            feeds[source].append(number)
    second = [label("next", first[number], _counted(first, fed[number])) for number in range(len(fed))]
    for number, (cell, _, _, _) in enumerate(graph.flip_flops):
        yield first[number], cell
        yield second[number], cell
        yield label("third", second[number], _counted(second, fed[number])), cell
        yield label("after", first[number], _counted(first, feeds[number])), cell


def _counted(labels: list[int], numbers: list[int]) -> list[tuple[int, int]]:
    return sorted(Counter(labels[number] for number in numbers).items())


def _supports(graph: _Graph) -> list[int]:
    """Return for each node the set of sources that it depends on, as bits of a number."""
    found = [0] + [1 << node for node in range(1, graph.sources + 1)]
    for node in range(graph.sources + 1, len(graph.left)):
        found.append(found[graph.left[node] >> 1] | found[graph.right[node] >> 1])
    return found


def _members(support: int) -> list[int]:
    found = []
    while support:
        lowest = support & -support
        found.append(lowest.bit_length() - 1)
        support ^= lowest
    return found


def _function_label(
    graph: _Graph, supports: list[int], node: int, taken: Literal, nodes: list[int], is_latch: bool
) -> int:
    if len(nodes) > MAX_EXACT_INPUTS or is_latch:
        size = round(3 * float(np.log2(len(nodes) + 1)))
        return label("wide", is_latch, size, node in nodes)
    own = nodes.index(node) if node in nodes else -1
    return _spectrum_label(_truth_table(graph, taken, nodes), len(nodes), own)


def _truth_table(graph: _Graph, taken: Literal, nodes: list[int]) -> int:
    """Return the values of a literal for all values of `nodes`, the first of them changing fastest."""
    rows = 1 << len(nodes)
    everything = (1 << rows) - 1
    values: dict[int, int] = {0: 0}
    for place, node in enumerate(nodes):
        period = 1 << place
        block = ((1 << period) - 1) << period
        values[node] = block * (everything // ((1 << (2 * period)) - 1))
    waiting = [taken >> 1]
    while waiting:
        node = waiting[-1]
        if node in values:
            waiting.pop()
            continue
        left, right = graph.left[node], graph.right[node]
        missing = [each >> 1 for each in (left, right) if each >> 1 not in values]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        operands = [values[each >> 1] ^ (everything if each & 1 else 0) for each in (left, right)]
        values[node] = operands[0] & operands[1]
    return values[taken >> 1] ^ (everything if taken & 1 else 0)


@lru_cache(maxsize=65_536)
def _spectrum_label(table: int, inputs: int, own: int) -> int:
    """Return the label of a function's absolute Walsh spectrum, by order and by part of its own bit."""
    rows = 1 << inputs
    packed = np.frombuffer(table.to_bytes(max(1, rows // 8), "little"), np.uint8)
    spectrum = 1 - 2 * np.unpackbits(packed, bitorder="little")[:rows].astype(np.int64)
    for place in range(inputs):
        pairs = spectrum.reshape(-1, 2, 1 << place)
        spectrum = np.stack((pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]), axis=1).reshape(-1)
    places = np.arange(rows)
    order = np.array([place.bit_count() for place in range(rows)])
    has_own = (places >> own) & 1 if own >= 0 else np.zeros(rows, np.int64)
    keys = np.stack((order, has_own, np.abs(spectrum)))
    return label("function", inputs, own >= 0, keys[:, np.lexsort(keys[::-1])].tobytes())
