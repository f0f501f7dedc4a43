"""Cells of words, as Yosys defines them (its manual, "Word-level cells"), made into gates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce

from hanok.rtl._gate_list import ONE, ZERO, Bits, GateList


@dataclass(frozen=True)
class Cell:
    """A cell of a netlist; parameters are texts of bits, the highest first."""

    name: str
    kind: str
    parameters: Mapping[str, str]
    nets: Mapping[str, list[int]]
    """By port, the lowest bit first."""

    def number(self, parameter: str) -> int:
        """A parameter that is a number; 0 where it has none, or it is not defined."""
        text = self.parameters.get(parameter, "0")
        return int("".join("1" if bit == "1" else "0" for bit in text) or "0", 2)

    def is_signed(self, *ports: str) -> bool:
        return all(self.number(f"{port}_SIGNED") for port in ports)

    def operands(self, bits: int) -> tuple[list[int], list[int]]:
        """A and B with as many bits; signed if both are."""
        signed = self.is_signed("A", "B")
        return extended(self.nets["A"], bits, signed), extended(self.nets["B"], bits, signed)

    @property
    def result_bits(self) -> int:
        return len(self.nets["Y"])


Maker = Callable[[GateList, Cell], list[int]]
"""Makes what a cell gives at Y; missing high bits are zero."""


def extended(word: Bits, bits: int, signed: bool) -> list[int]:
    """Return a word with as many bits."""
    fill = word[-1] if signed and word else ZERO
    return [*word[:bits], *[fill] * (bits - len(word))]


def _any(gates: GateList, word: Bits) -> int:
    return reduce(gates.either, word, ZERO)


def _all(gates: GateList, word: Bits) -> int:
    return reduce(gates.both, word, ONE)


def _parity(gates: GateList, word: Bits) -> int:
    return reduce(gates.differ, word, ZERO)


def _sum(gates: GateList, a: Bits, b: Bits, carry: int = ZERO) -> list[int]:
    found = []
    for one, other in zip(a, b, strict=True):
        half = gates.differ(one, other)
        found.append(gates.differ(half, carry))
        carry = gates.choose(half, carry, one)
    return found


def _inverted(gates: GateList, word: Bits) -> list[int]:
    return [gates.inverse(bit) for bit in word]


def _difference(gates: GateList, a: Bits, b: Bits) -> list[int]:
    return _sum(gates, a, _inverted(gates, b), ONE)


def _shifted(gates: GateList, word: Bits, amount: Bits, fill: int) -> list[int]:
    """Shift a word to the right."""
    for place, bit in enumerate(amount):
        distance = min(len(word), 1 << min(place, 32))
        word = gates.choose_word(bit, [*word[distance:], *[fill] * distance], word)
    return list(word)


def _shifted_left(gates: GateList, word: Bits, amount: Bits) -> list[int]:
    return _shifted(gates, word[::-1], amount, ZERO)[::-1]


def _not(gates: GateList, cell: Cell) -> list[int]:
    return _inverted(gates, _position(gates, cell))


def _position(gates: GateList, cell: Cell) -> list[int]:
    return extended(cell.nets["A"], cell.result_bits, cell.is_signed("A"))


def _negative(gates: GateList, cell: Cell) -> list[int]:
    return _difference(gates, [ZERO] * cell.result_bits, _position(gates, cell))


def _bitwise(gates: GateList, cell: Cell, gate: Callable[[GateList, int, int], int]) -> list[int]:
    return [gate(gates, *pair) for pair in zip(*cell.operands(cell.result_bits), strict=True)]


def _alike(gates: GateList, a: int, b: int) -> int:
    return gates.inverse(gates.differ(a, b))


def _of_word(gates: GateList, cell: Cell, fold: Callable[[GateList, Bits], int], inverted: bool) -> list[int]:
    found = fold(gates, cell.nets["A"])
    return [gates.inverse(found) if inverted else found]


def _logical(gates: GateList, cell: Cell, gate: Callable[[GateList, int, int], int]) -> list[int]:
    return [gate(gates, _any(gates, cell.nets["A"]), _any(gates, cell.nets["B"]))]


def _equal(gates: GateList, cell: Cell, inverted: bool) -> list[int]:
    a, b = cell.operands(max(len(cell.nets["A"]), len(cell.nets["B"])))
    unequal = _any(gates, [gates.differ(*pair) for pair in zip(a, b, strict=True)])
    return [unequal if inverted else gates.inverse(unequal)]


def _less(gates: GateList, cell: Cell, swapped: bool, inverted: bool) -> list[int]:
    """A < B; `swapped`, B < A. The carry of A - B says whether it is not."""
    a, b = cell.operands(max(len(cell.nets["A"]), len(cell.nets["B"])))
    if swapped:
        a, b = b, a
    if cell.is_signed("A", "B"):
        a, b = [*a[:-1], b[-1]], [*b[:-1], a[-1]]
    carry = ONE
    for one, other in zip(a, b, strict=True):
        carry = gates.choose(gates.differ(one, other), one, carry)
    return [carry if inverted else gates.inverse(carry)]


def _add(gates: GateList, cell: Cell) -> list[int]:
    return _sum(gates, *cell.operands(cell.result_bits))


def _subtract(gates: GateList, cell: Cell) -> list[int]:
    return _difference(gates, *cell.operands(cell.result_bits))


def _multiply(gates: GateList, cell: Cell) -> list[int]:
    """Sum A, shifted, for each bit of B; the sign of B counts negative."""
    bits = cell.result_bits
    a, _ = cell.operands(bits)
    b = cell.nets["B"]
    total = [ZERO] * bits
    for place, bit in enumerate(b[:bits]):
        row = [ZERO] * place + [gates.both(one, bit) for one in a[: bits - place]]
        is_sign = cell.is_signed("A", "B") and place == len(b) - 1
        total = _difference(gates, total, row) if is_sign else _sum(gates, total, row)
    return total


def _shift_left(gates: GateList, cell: Cell) -> list[int]:
    return _shifted_left(gates, _position(gates, cell), cell.nets["B"])


def _shift_right(gates: GateList, cell: Cell, arithmetic: bool) -> list[int]:
    signed = cell.is_signed("A")
    word = extended(cell.nets["A"], max(len(cell.nets["A"]), cell.result_bits), signed)
    fill = word[-1] if arithmetic and signed else ZERO
    return _shifted(gates, word, cell.nets["B"], fill)[: cell.result_bits]


def _shift(gates: GateList, cell: Cell) -> list[int]:
    """To the right; by a negative B to the left."""
    amount = cell.nets["B"]
    word = extended(cell.nets["A"], max(len(cell.nets["A"]), cell.result_bits), cell.is_signed("A"))
    if not cell.is_signed("B"):
        return _shifted(gates, word, amount, ZERO)[: cell.result_bits]
    left = _shifted_left(gates, word, _difference(gates, [ZERO] * len(amount), amount))
    right = _shifted(gates, word, amount[:-1], ZERO)
    return gates.choose_word(amount[-1], left, right)[: cell.result_bits]


def _mux(gates: GateList, cell: Cell) -> list[int]:
    (select,) = cell.nets["S"]
    return gates.choose_word(select, cell.nets["B"], cell.nets["A"])


def _mux_bitwise(gates: GateList, cell: Cell) -> list[int]:
    return [gates.choose(*nets) for nets in zip(*(cell.nets[port] for port in "SBA"), strict=True)]


def _mux_first(gates: GateList, cell: Cell) -> list[int]:
    """The word of B whose bit of S is set, else A."""
    word, bits = cell.nets["A"], cell.result_bits
    for place, select in reversed(list(enumerate(cell.nets["S"]))):
        word = gates.choose_word(select, cell.nets["B"][place * bits : (place + 1) * bits], word)
    return list(word)


def _indexed(gates: GateList, table: Bits, index: Bits, bits: int) -> list[int]:
    """The word of a table at an index."""
    words = [table[at : at + bits] for at in range(0, len(table), bits)]
    for select in index:
        pairs = zip(words[1::2], words[::2], strict=True)
        words = [gates.choose_word(select, high, low) for high, low in pairs]
    return list(words[0])


def _mux_indexed(gates: GateList, cell: Cell) -> list[int]:
    return _indexed(gates, cell.nets["A"], cell.nets["S"], cell.result_bits)


def _lookup(gates: GateList, cell: Cell) -> list[int]:
    index, table = cell.nets["A"], cell.number("LUT")
    return _indexed(gates, [table >> place & 1 for place in range(1 << len(index))], index, 1)


def _gate(gates: GateList, cell: Cell, function: Callable[..., int], ports: str) -> list[int]:
    return [function(gates, *(cell.nets[port][0] for port in ports))]


def _then_inverse(function: Callable[..., int]) -> Callable[..., int]:
    return lambda gates, *nets: gates.inverse(function(gates, *nets))


def _with_inverse(function: Callable[..., int]) -> Callable[..., int]:
    return lambda gates, a, b: function(gates, a, gates.inverse(b))


_AND, _OR, _XOR, _MUX = GateList.both, GateList.either, GateList.differ, GateList.choose
MAKERS: dict[str, Maker] = {
    "$not": _not,
    "$pos": _position,
    "$buf": _position,
    "$neg": _negative,
    "$and": partial(_bitwise, gate=_AND),
    "$or": partial(_bitwise, gate=_OR),
    "$xor": partial(_bitwise, gate=_XOR),
    "$xnor": partial(_bitwise, gate=_alike),
    "$reduce_and": partial(_of_word, fold=_all, inverted=False),
    "$reduce_or": partial(_of_word, fold=_any, inverted=False),
    "$reduce_bool": partial(_of_word, fold=_any, inverted=False),
    "$reduce_xor": partial(_of_word, fold=_parity, inverted=False),
    "$reduce_xnor": partial(_of_word, fold=_parity, inverted=True),
    "$logic_not": partial(_of_word, fold=_any, inverted=True),
    "$logic_and": partial(_logical, gate=_AND),
    "$logic_or": partial(_logical, gate=_OR),
    "$eq": partial(_equal, inverted=False),
    "$eqx": partial(_equal, inverted=False),
    "$ne": partial(_equal, inverted=True),
    "$nex": partial(_equal, inverted=True),
    "$lt": partial(_less, swapped=False, inverted=False),
    "$gt": partial(_less, swapped=True, inverted=False),
    "$le": partial(_less, swapped=True, inverted=True),
    "$ge": partial(_less, swapped=False, inverted=True),
    "$add": _add,
    "$sub": _subtract,
    "$mul": _multiply,
    "$shl": _shift_left,
    "$sshl": _shift_left,
    "$shr": partial(_shift_right, arithmetic=False),
    "$sshr": partial(_shift_right, arithmetic=True),
    "$shift": _shift,
    "$shiftx": _shift,
    "$mux": _mux,
    "$bwmux": _mux_bitwise,
    "$pmux": _mux_first,
    "$bmux": _mux_indexed,
    "$lut": _lookup,
    "$_BUF_": partial(_gate, function=lambda gates, a: a, ports="A"),
    "$_NOT_": partial(_gate, function=GateList.inverse, ports="A"),
    "$_AND_": partial(_gate, function=_AND, ports="AB"),
    "$_OR_": partial(_gate, function=_OR, ports="AB"),
    "$_XOR_": partial(_gate, function=_XOR, ports="AB"),
    "$_NAND_": partial(_gate, function=_then_inverse(_AND), ports="AB"),
    "$_NOR_": partial(_gate, function=_then_inverse(_OR), ports="AB"),
    "$_XNOR_": partial(_gate, function=_alike, ports="AB"),
    "$_ANDNOT_": partial(_gate, function=_with_inverse(_AND), ports="AB"),
    "$_ORNOT_": partial(_gate, function=_with_inverse(_OR), ports="AB"),
    "$_MUX_": partial(_gate, function=_MUX, ports="SBA"),
    "$_NMUX_": partial(_gate, function=_then_inverse(_MUX), ports="SBA"),
}
"""By kind of cell. What is missing and can be made of these, Yosys makes (`gate_netlist.py`)."""
