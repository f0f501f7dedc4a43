"""CXXRTL's operators over machine words; what has no rule here stays a call of CXXRTL's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hanok.rtl._words import (
    CHUNK,
    WORD,
    Bitwise,
    Chosen,
    Computed,
    Constant,
    Joined,
    Repeated,
    Stored,
    Value,
    computed,
    integer_type,
    joined,
    literal,
    mask,
    resized,
)

SHIFTS = """
static inline uint64_t hanok_left(uint64_t value, uint64_t by) { return by < 64 ? value << by : 0; }
static inline uint64_t hanok_right(uint64_t value, uint64_t by) { return by < 64 ? value >> by : 0; }
"""
_BITWISE = {"and": "&", "or": "|", "xor": "^"}
_COMPARED = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_SUMS = {"add": "+", "sub": "-"}


@dataclass
class Locals:
    """Constants that stand before a statement, each computed once for all of its uses."""

    prefix: str
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def take(self) -> list[str]:
        """Return the lines since the last call."""
        lines, self.lines = self.lines, []
        return lines

    def keep(self, value: Value) -> Value:
        """Return a value whose parts can be used many times at no cost."""
        if isinstance(value, Constant | Stored):
            return value
        if isinstance(value, Computed):
            return Computed(value.bits, self._named(f"const {integer_type(value.bits)}", value.expression))
        if isinstance(value, Chosen):
            return value.made_of(
                [self.keep(computed(value.bit)), self.keep(value.one), self.keep(value.zero)]
            )
        return value.made_of([self.keep(child) for child in value.children()])

    def call(self, name: str, bits: int, operands: list[Value]) -> Value:
        """Return the result of an operator of CXXRTL's."""
        given = ", ".join(as_object(self.keep(operand)) for operand in operands)
        return Stored(bits, self._named(f"const value<{bits}>", f"{name}<{bits}>({given})"), 0, bits)

    def _named(self, kind: str, expression: str) -> str:
        self.count += 1
        name = f"{self.prefix}{self.count}"
        self.lines.append(f"{kind} {name} = {expression};\n")
        return name


def as_object(value: Value) -> str:
    """Return a value as an object of CXXRTL's."""
    if isinstance(value, Stored) and (value.low, value.bits) == (0, value.whole_bits):
        return value.name
    chunks = [value.slice(low, min(CHUNK, value.bits - low)).text() for low in range(0, value.bits, CHUNK)]
    return f"value<{value.bits}>{{{', '.join(chunks)}}}"


def operate(name: str, bits: int, operands: list[Value], scope: Locals) -> Value:
    """Return the result, of `bits` bits, of the operator that CXXRTL calls `name`."""
    kind, _, signs = name.rpartition("_")
    widest = max(bits, *(operand.bits for operand in operands))
    found: Value | None = None
    if kind in _BITWISE and signs == "uu":
        found = _bitwise(_BITWISE[kind], *(resized(operand, bits) for operand in operands))
    elif name == "not_u":
        found = _bitwise("^", resized(operands[0], bits), Constant(bits, mask(bits)))
    elif name in _TRUTHS:
        found = resized(Computed(1, _TRUTHS[name](operands[0], scope)), bits)
    elif kind in ("eq", "ne") and signs == "uu":
        found = resized(Computed(1, _equal(kind, operands, scope)), bits)
    elif widest <= WORD and all(operand.bits for operand in operands):
        found = _arithmetic(kind, signs, bits, operands)
    return found or scope.call(name, bits, operands)


def _bitwise(operator: str, left: Value, right: Value) -> Value:
    if left.bits > WORD:
        return Bitwise(left.bits, operator, left, right)
    sides = [computed(side) for side in (left, right)]
    terms = [side.terms(operator) if isinstance(side, Computed) else side.text() for side in sides]
    return Computed(left.bits, f" {operator} ".join(terms), operator)


def _any(value: Value, scope: Locals) -> str:
    if value.bits <= WORD:
        return value.text()
    return f"({' | '.join(scope.keep(value).words())})"


def _all(value: Value, scope: Locals) -> str:
    kept = value if value.bits <= WORD else scope.keep(value)
    sizes = [min(WORD, value.bits - low) for low in range(0, value.bits, WORD)]
    words = zip(kept.words(), sizes, strict=True)
    return f"uint32_t({' && '.join(f'{word} == {literal(mask(size), size)}' for word, size in words)})"


def _is_any(value: Value, scope: Locals) -> str:
    return value.text() if value.bits == 1 else f"uint32_t({_any(value, scope)} != 0)"


_TRUTHS: dict[str, Callable[[Value, Locals], str]] = {
    "reduce_or": _is_any,
    "reduce_bool": _is_any,
    "logic_not": lambda value, scope: f"uint32_t({_any(value, scope)} == 0)",
    "reduce_and": _all,
}


def _equal(kind: str, operands: list[Value], scope: Locals) -> str:
    bits = max(operand.bits for operand in operands)
    sides = [resized(operand, bits) for operand in operands]
    if bits > WORD:
        sides = [scope.keep(side) for side in sides]
    pairs = [f"{a} == {b}" for a, b in zip(*(side.words() for side in sides), strict=True)]
    found = " && ".join(pairs)
    return f"uint32_t({found})" if kind == "eq" else f"uint32_t(!({found}))"


def _arithmetic(kind: str, signs: str, bits: int, operands: list[Value]) -> Value | None:
    """An operator on at most a word each; None for one without a rule."""
    whole, is_signed = integer_type(bits), signs in ("s", "ss")
    if kind in _COMPARED:
        left, right = (_signed(operand) if is_signed else operand.text() for operand in operands)
        return resized(Computed(1, f"uint32_t({left} {_COMPARED[kind]} {right})"), bits)
    if kind in ("shl", "sshl") and signs in ("uu", "su"):
        start = _extended(operands[0], bits) if signs == "su" else resized(operands[0], bits)
        return _left(start, operands[1])
    if kind in ("shr", "sshr", "shift", "shiftx") and signs == "uu":
        return computed(resized(_right(*operands), bits))
    if kind not in (*_SUMS, "mul", "neg"):
        return None
    terms = [_extended(operand, bits) if is_signed else resized(operand, bits) for operand in operands]
    given = [f"{whole}({term.text()})" for term in terms]
    text = f"({literal(0, bits)} - {given[0]})" if kind == "neg" else f"({_SYMBOLS[kind].join(given)})"
    is_clean = kind == "add" and not is_signed and bits > max(operand.bits for operand in operands)
    return Computed(bits, text if is_clean else _masked(text, bits))


_SYMBOLS = {name: f" {symbol} " for name, symbol in {**_SUMS, "mul": "*"}.items()}


def _left(value: Value, by: Value) -> Value:
    whole, text = integer_type(value.bits), value.text()
    if _is_short(value, by):
        return Computed(value.bits, _masked(f"({whole}({text}) << {by.text()})", value.bits))
    return Computed(value.bits, _masked(f"{whole}(hanok_left({text}, {by.text()}))", value.bits))


def _right(value: Value, by: Value) -> Value:
    whole, text = integer_type(value.bits), value.text()
    if _is_short(value, by):
        return Computed(value.bits, f"({whole}({text}) >> {by.text()})")
    return Computed(value.bits, f"{whole}(hanok_right({text}, {by.text()}))")


def _is_short(value: Value, by: Value) -> bool:
    """Whether no shift by that many bits leaves the integer that a value is in."""
    return 1 << by.bits <= (CHUNK if value.bits <= CHUNK else WORD)


def _masked(text: str, bits: int) -> str:
    return text if bits in (CHUNK, WORD) else f"({text} & {literal(mask(bits), bits)})"


def _signed(value: Value) -> str:
    """Return a value as a signed integer."""
    size = CHUNK if value.bits <= CHUNK else WORD
    text = f"uint{size}_t({value.text()})"
    if value.bits == size:
        return f"int{size}_t({text})"
    return f"(int{size}_t({text} << {size - value.bits}) >> {size - value.bits})"


def _extended(value: Value, bits: int) -> Value:
    """Cut a value, or repeat its sign above it."""
    if bits <= value.bits:
        return resized(value, bits)
    if value.bits == 1:
        return Repeated(bits, value)
    return Computed(bits, _masked(f"{integer_type(bits)}({_signed(value)})", bits))


def repeated(value: Value, times: int, scope: Locals) -> Value:
    """Return a value many times, side by side."""
    if value.bits == 1:
        return Repeated(times, computed(value))
    return joined([scope.keep(computed(value))] * times)


def chosen(bit: Value, one: Value, zero: Value) -> Value:
    """Return one value where a bit is 1, another where it is 0."""
    assert one.bits == zero.bits, "both have the same bits"
    return computed(Chosen(one.bits, computed(bit), one, zero))


def taken(value: Value, high: int, low: int) -> Value:
    """Return bits `low` to `high`."""
    found = value.slice(low, high - low + 1)
    return found if isinstance(found, Joined) else computed(found)
