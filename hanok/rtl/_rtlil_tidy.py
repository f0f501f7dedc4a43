"""RTLIL made ready for Verilog that linters accept: even widths, no idle comparisons or unread wires."""

from __future__ import annotations

from collections import Counter

from hanok.rtl._rtlil import Item, Unit, extend, is_port, names_in

_COMPARISONS = {"$eq", "$ne", "$lt", "$le", "$gt", "$ge"}
_SUMS = {"$add", "$sub", "$and", "$or", "$xor", "$xnor", "$div", "$mod", "$divfloor", "$modfloor"}
_SHIFTS = {"$shl", "$shr", "$sshl", "$sshr", "$shift", "$shiftx"}


def tidy(unit: Unit) -> None:
    """Change a module, but nothing that it does."""
    _drop_cleared_memories(unit)
    for place, item in enumerate(unit.items):
        if item.kind == "cell":
            unit.items[place] = _fold_comparison(item) or item
    _even_widths(unit)
    while _drop_unread(unit):
        pass


def _drop_cleared_memories(unit: Unit) -> None:
    """Zeros in memories are left out, since no instruction reads what none has written; tables stay."""
    unit.items = [
        item
        for item in unit.items
        if item.words[:2] != ["cell", "$meminit_v2"] or "1" in item.connected("DATA").split("'")[-1]
    ]


def _fold_comparison(cell: Item) -> Item | None:
    """A comparison that no value can change, such as one with the largest number, as a constant."""
    operator = cell.words[1]
    if operator not in ("$gt", "$le", "$lt", "$ge") or cell.parameter("A_SIGNED"):
        return None
    constant = cell.connected("B")
    bits = constant.partition("'")[2]
    is_most = bool(bits) and set(bits) == {"1"} and len(bits) >= cell.parameter("A_WIDTH")
    is_least = constant == "{  }" or (bool(bits) and set(bits) == {"0"})
    if not (is_most and operator in ("$gt", "$le")) and not (is_least and operator in ("$lt", "$ge")):
        return None
    value = int(operator in ("$le", "$ge"))
    return Item([f"  connect {cell.connected('Y')} 1'{value}"])


def _even_widths(unit: Unit) -> None:
    """Write out the bits that operators add to their operands."""
    added: list[Item] = []
    for item in unit.items:
        if item.kind != "cell":
            continue
        operator = item.words[1]
        if operator in _COMPARISONS:
            _widen(item, ("A", "B"), max(item.parameter("A_WIDTH"), item.parameter("B_WIDTH")))
        elif operator in _SUMS:
            bits = max(item.parameter("A_WIDTH"), item.parameter("B_WIDTH"))
            result = item.parameter("Y_WIDTH")
            _widen(item, ("A", "B"), bits if result == bits + 1 and operator == "$add" else max(bits, result))
        elif operator in ("$not", "$neg", "$pos"):
            _widen(item, ("A",), item.parameter("Y_WIDTH"))
        elif operator in _SHIFTS:
            _widen(item, ("A",), item.parameter("Y_WIDTH"))
            added += _cut_result(item)
    unit.items[:0] = added[::2]
    unit.items += added[1::2]


def _widen(cell: Item, ports: tuple[str, ...], to_bits: int) -> None:
    for port in ports:
        bits, is_signed = cell.parameter(f"{port}_WIDTH"), bool(cell.parameter(f"{port}_SIGNED"))
        if bits < to_bits:
            cell.connect(port, extend(cell.connected(port), bits, to_bits, is_signed))
            cell.set_parameter(f"{port}_WIDTH", to_bits)


def _cut_result(cell: Item) -> list[Item]:
    """Give a shift a result as wide as what it shifts, of which the low bits are taken."""
    bits, wanted = cell.parameter("A_WIDTH"), cell.parameter("Y_WIDTH")
    if bits <= wanted:
        return []
    result = cell.connected("Y")
    name = f"{result.split()[0]}$whole"
    cell.connect("Y", name)
    cell.set_parameter("Y_WIDTH", bits)
    low = f"[{wanted - 1}:0]" if wanted > 1 else "[0]"
    return [Item([f"  wire width {bits} {name}"]), Item([f"  connect {result} {name} {low}"])]


def _drop_unread(unit: Unit) -> bool:
    """Drop wires that nothing reads, and what drives nothing else; return whether there were any."""
    count = Counter(name for item in unit.items for line in item.lines for name in names_in(line))
    ports = {item.words[-1] for item in unit.items if is_port(item)}
    unread = {
        item.words[-1]
        for item in unit.items
        if item.kind == "wire" and item.words[-1] not in ports and count[item.words[-1]] == 2
    }
    kept = [item for item in unit.items if not _drives_only(item, unread)]
    left = Counter(name for item in kept for line in item.lines for name in names_in(line))
    kept = [item for item in kept if item.kind != "wire" or is_port(item) or left[item.words[-1]] > 1]
    is_shorter = len(kept) < len(unit.items)
    unit.items = kept
    return is_shorter


def _drives_only(item: Item, unread: set[str]) -> bool:
    """Whether a connection or an operator has no result but one that nobody reads, in whole."""
    if item.kind == "connect":
        return item.words[1] in unread
    if item.kind != "cell" or not item.words[1].startswith("$") or item.words[1].startswith("$mem"):
        return False
    port = "Q" if item.words[1] == "$dff" else "Y"
    return any(line.split()[:2] == ["connect", f"\\{port}"] for line in item.lines) and (
        item.connected(port) in unread
    )
