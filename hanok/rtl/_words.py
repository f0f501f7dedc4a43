"""Values of a design as C++ over machine words: any range of a value's bits is an integer expression.

CXXRTL's classes keep a value in chunks of 32 bits, of which the bits above the value's width are 0. What is
here reads chunks and computes with integers: compilers take a tenth of the time that CXXRTL's templates take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

WORD = 64
CHUNK = 32


def literal(number: int, bits: int) -> str:
    """Return a number as C++ of the type of an expression of `bits` bits."""
    return f"{number:#x}u" if bits <= CHUNK else f"{number:#x}ull"


def integer_type(bits: int) -> str:
    return "uint32_t" if bits <= CHUNK else "uint64_t"


def mask(bits: int) -> int:
    return (1 << bits) - 1


@dataclass(frozen=True)
class Value:
    """Bits whose C++ is known. Of at most a word it has a `text`: an integer, 0 above its bits."""

    bits: int

    def text(self) -> str:
        raise NotImplementedError

    def slice(self, low: int, bits: int) -> Value:
        """Return `bits` bits from bit `low` on, all of which are the value's."""
        raise NotImplementedError

    def children(self) -> tuple[Value, ...]:
        """Return the values that this one is made of."""
        return ()

    def made_of(self, children: Sequence[Value]) -> Value:
        """Return the same of other children of the same bits."""
        return self

    def words(self) -> list[str]:
        """Return the text of each word, the lowest first."""
        return [
            self.slice(low, min(WORD, self.bits - low)).text() for low in range(0, max(self.bits, 1), WORD)
        ]


@dataclass(frozen=True)
class Constant(Value):
    number: int

    def text(self) -> str:
        return literal(self.number, self.bits)

    def slice(self, low: int, bits: int) -> Value:
        return Constant(bits, self.number >> low & mask(bits))


@dataclass(frozen=True)
class Stored(Value):
    """Bits `low` and above of a variable of CXXRTL's, which has `whole_bits`."""

    name: str
    low: int
    whole_bits: int

    def text(self) -> str:
        first, last, shift = self.low // CHUNK, (self.low + self.bits - 1) // CHUNK, self.low % CHUNK
        chunk = f"{self.name}.data[{first}]"
        end = self.low + self.bits
        if first == last:
            found = f"({chunk} >> {shift})" if shift else chunk
            is_clean = end == self.whole_bits or end % CHUNK == 0
            return found if is_clean else f"({found} & {literal(mask(self.bits), CHUNK)})"
        terms = [f"uint64_t({chunk}) >> {shift}"]
        for place in range(first + 1, last + 1):
            terms.append(f"uint64_t({self.name}.data[{place}]) << {(place - first) * CHUNK - shift}")
        found = f"({' | '.join(terms)})"
        if self.bits < WORD and end != self.whole_bits:
            found = f"({found} & {literal(mask(self.bits), WORD)})"
        return f"uint32_t{found}" if self.bits <= CHUNK else found

    def slice(self, low: int, bits: int) -> Value:
        return replace(self, bits=bits, low=self.low + low)


@dataclass(frozen=True)
class Computed(Value):
    """An integer expression; one of terms that `operator` joins has no parentheses of its own."""

    expression: str
    operator: str = ""

    def text(self) -> str:
        return f"({self.expression})" if self.operator else self.expression

    def terms(self, operator: str) -> str:
        """Return the expression as a term, or terms, of a chain of one associative operator."""
        return self.expression if self.operator == operator else self.text()

    def slice(self, low: int, bits: int) -> Value:
        if (low, bits) == (0, self.bits):
            return self
        found = f"({self.text()} >> {low})" if low else self.text()
        if low + bits < self.bits:
            found = f"({found} & {literal(mask(bits), self.bits)})"
        return Computed(bits, f"uint32_t({found})" if bits <= CHUNK < self.bits else found)


@dataclass(frozen=True)
class Joined(Value):
    """Values side by side, the lowest first."""

    parts: tuple[Value, ...]

    def text(self) -> str:
        whole, terms, at = integer_type(self.bits), [], 0
        for part in self.parts:
            if part.bits and not (isinstance(part, Constant) and part.number == 0):
                text = part.text()
                text = text if integer_type(part.bits) == whole else f"{whole}({text})"
                terms.append(f"{text} << {at}" if at else text)
            at += part.bits
        return f"({' | '.join(terms)})" if terms else literal(0, self.bits)

    def slice(self, low: int, bits: int) -> Value:
        parts, at = [], 0
        for part in self.parts:
            begin, end = max(low, at), min(low + bits, at + part.bits)
            if begin < end:
                parts.append(part.slice(begin - at, end - begin))
            at += part.bits
        return joined(parts)

    def children(self) -> tuple[Value, ...]:
        return self.parts

    def made_of(self, children: Sequence[Value]) -> Value:
        return joined(children)


@dataclass(frozen=True)
class Repeated(Value):
    """One bit many times."""

    bit: Value

    def text(self) -> str:
        bit, zero = self.bit.text(), literal(0, self.bits)
        if self.bits in (CHUNK, WORD):
            return f"({zero} - {bit})"
        return f"({zero} - {bit} & {literal(mask(self.bits), self.bits)})"

    def slice(self, low: int, bits: int) -> Value:
        return self.bit if bits == 1 else Repeated(bits, self.bit)

    def children(self) -> tuple[Value, ...]:
        return (self.bit,)

    def made_of(self, children: Sequence[Value]) -> Value:
        return Repeated(self.bits, children[0])


@dataclass(frozen=True)
class Chosen(Value):
    """One value where a bit is 1, another where it is 0."""

    bit: Value
    one: Value
    zero: Value

    def text(self) -> str:
        return f"({self.bit.text()} ? {self.one.text()} : {self.zero.text()})"

    def slice(self, low: int, bits: int) -> Value:
        return Chosen(bits, self.bit, self.one.slice(low, bits), self.zero.slice(low, bits))

    def children(self) -> tuple[Value, ...]:
        return self.bit, self.one, self.zero

    def made_of(self, children: Sequence[Value]) -> Value:
        return Chosen(self.bits, *children)


@dataclass(frozen=True)
class Bitwise(Value):
    """`&`, `|` or `^` of two values of the same bits."""

    operator: str
    left: Value
    right: Value

    def text(self) -> str:
        return f"({self.left.text()} {self.operator} {self.right.text()})"

    def slice(self, low: int, bits: int) -> Value:
        return Bitwise(bits, self.operator, self.left.slice(low, bits), self.right.slice(low, bits))

    def children(self) -> tuple[Value, ...]:
        return self.left, self.right

    def made_of(self, children: Sequence[Value]) -> Value:
        return Bitwise(self.bits, self.operator, *children)


def joined(parts: Sequence[Value]) -> Value:
    """Return values side by side, the lowest first."""
    flat: list[Value] = []
    for part in parts:
        if part.bits:
            flat += part.parts if isinstance(part, Joined) else (part,)
    if len(flat) == 1:
        return flat[0]
    return Joined(sum(part.bits for part in flat), tuple(flat)) if flat else Constant(0, 0)


def resized(value: Value, bits: int) -> Value:
    """Cut a value, or put zeros above it."""
    if bits <= value.bits:
        return value if bits == value.bits else value.slice(0, bits)
    return joined([value, Constant(bits - value.bits, 0)])


def computed(value: Value) -> Value:
    """Return a value of at most a word as text, so that what it is made of need not be walked again."""
    if value.bits > WORD or isinstance(value, Constant | Stored | Computed):
        return value
    return Computed(value.bits, value.text())
