"""CXXRTL's statements read and written again over machine words; what cannot be read stays as it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hanok.rtl._word_operators import Locals, as_object, chosen, operate, repeated, taken
from hanok.rtl._words import CHUNK, WORD, Computed, Constant, Stored, Value, computed, joined

_DECLARED = re.compile(r"(?:value|wire)<(\d+)> (\w+);")
_TARGET = r"(?:value<\d+>\(\)|\w+(?:\.next)?)"
_ASSIGNMENT = re.compile(rf"(\t+)({_TARGET}(?:\.concat\({_TARGET}\))*) = (.*);\n")
_DEFINITION = re.compile(r"\t+value<(\d+)> (\w+) = .*;\n")
_INDEX = re.compile(r"(\t+auto \w+ = memory_index\()(.*)(, \d+, \d+\);\n)")
_CONDITION = re.compile(r"(\t+if \()(.*)(\) \{\n)")
_TOKEN = re.compile(
    r"(?P<call>[a-z_]+)<(?P<call_bits>\d+)>\((?!\))"
    r"|value<(?P<bits>\d+)> ?(?:\(\)|\{(?P<chunks>[^}]*)\})"
    r"|\.slice<(?P<high>\d+)(?:,(?P<low>\d+))?>\(\)"
    r"|(?P<same>\.val\(\))"
    r"|(?P<concat>\.concat\()"
    r"|\.repeat<(?P<times>\d+)>\(\)"
    r"|(?P<name>\w+(?:\.curr|\.next)?)"
    r"|(?P<open>\()"
    r"|(?P<next>, | \? | : )"
    r"|(?P<close>\))"
)


class _UnreadableError(Exception):
    """The text is none of what is known here."""


def widths_of(header: str) -> dict[str, int]:
    """Return the bits of the values and wires that are declared."""
    return {found[2]: int(found[1]) for found in _DECLARED.finditer(header)}


@dataclass
class Statements:
    """Translates lines of a design whose variables have these widths."""

    widths: dict[str, int]
    scope: Locals = field(default_factory=lambda: Locals("word_"))

    def translate(self, lines: list[str]) -> list[str]:
        return [new for line in lines for new in self._translated(line)]

    def _translated(self, line: str) -> list[str]:
        if match := _DEFINITION.fullmatch(line):
            self.widths[match[2]] = int(match[1])
            return [line]
        try:
            if match := _INDEX.fullmatch(line):
                return self._used(match, as_object(self.value(match[2])))
            if match := _CONDITION.fullmatch(line):
                return self._used(match, _truth(self.value(match[2])))
            if match := _ASSIGNMENT.fullmatch(line):
                return self._assigned(*match.groups())
        except _UnreadableError:
            self.scope.take()
        return [line]

    def _used(self, match: re.Match[str], given: str) -> list[str]:
        return [*self._indented(match[1]), f"{match[1]}{given}{match[3]}"]

    def _assigned(self, indent: str, target: str, text: str) -> list[str]:
        value, at = self.value(text), 0
        if value.bits > WORD or ".concat(" in target:
            value = self.scope.keep(value)
        stores = []
        for name, bits in reversed(self._targets(target)):
            if name:
                stores += _stores(name, value.slice(at, bits))
            at += bits
        if at != value.bits:
            raise _UnreadableError
        return [*self._indented(indent), *(indent + store for store in stores)]

    def _indented(self, like: str) -> list[str]:
        indent = like[: len(like) - len(like.lstrip("\t"))]
        return [indent + line for line in self.scope.take()]

    def _targets(self, text: str) -> list[tuple[str, int]]:
        """Return the variables of a target, the highest first; bits that are dropped have no name."""
        found = []
        for part in text.replace(")", "").split(".concat("):
            if match := re.fullmatch(r"value<(\d+)>\(", part):
                found.append(("", int(match[1])))
            else:
                found.append((part, self._bits_of(part)))
        return found

    def _bits_of(self, name: str) -> int:
        bits = self.widths.get(name.removesuffix(".next").removesuffix(".curr"))
        if bits is None:
            raise _UnreadableError
        return bits

    def value(self, text: str) -> Value:
        """Read an expression."""
        frames = [_Frame("", 0, None)]
        value: Value | None = None
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match:
                raise _UnreadableError
            at = match.end()
            match match.lastgroup:
                case "call_bits" | "open":
                    _nothing(value)
                    frames.append(_Frame(match["call"] or "", int(match["call_bits"] or 0), None))
                case "concat":
                    frames.append(_Frame(".concat", 0, _something(value)))
                    value = None
                case "next":
                    frames[-1].add(value, match["next"])
                    value = None
                case "close":
                    frames[-1].add(value)
                    if len(frames) == 1:
                        raise _UnreadableError
                    value = self._closed(frames.pop())
                case _:
                    value = self._extended(value, match)
        frames[-1].add(value)
        if len(frames) != 1:
            raise _UnreadableError
        return self._closed(frames[0])

    def _extended(self, value: Value | None, match: re.Match[str]) -> Value:
        """Go on with a name, a constant, or what stands behind a value."""
        if match["name"]:
            _nothing(value)
            name, bits = match["name"], self._bits_of(match["name"])
            return Stored(bits, name, 0, bits)
        if match["bits"]:
            _nothing(value)
            chunks = [
                int(chunk.strip().removesuffix("u"), 0) for chunk in (match["chunks"] or "0u").split(",")
            ]
            return Constant(int(match["bits"]), sum(chunk << CHUNK * n for n, chunk in enumerate(chunks)))
        found = _something(value)
        if match["high"]:
            high, low = int(match["high"]), int(match["low"] or match["high"])
            if not low <= high < found.bits:
                raise _UnreadableError
            return taken(found, high, low)
        return repeated(found, int(match["times"]), self.scope) if match["times"] else found

    def _closed(self, frame: _Frame) -> Value:
        match frame.name, frame.operands, frame.marks:
            case "", [value], []:
                return value
            case "", [bit, one, zero], [" ? ", " : "] if bit.bits == 1 and one.bits == zero.bits:
                return chosen(bit, one, zero)
            case ".concat", [low], []:
                return joined([computed(low), computed(_something(frame.before))])
        if frame.name in ("", ".concat") or {*frame.marks} - {", "}:
            raise _UnreadableError
        return operate(frame.name, frame.bits, frame.operands, self.scope)


@dataclass
class _Frame:
    """What is open: a call of `name` or parentheses, its operands so far and the marks between them."""

    name: str
    bits: int
    before: Value | None
    operands: list[Value] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)

    def add(self, operand: Value | None, mark: str = "") -> None:
        self.operands.append(_something(operand))
        self.marks += [mark] if mark else []


def _something(value: Value | None) -> Value:
    if value is None:
        raise _UnreadableError
    return value


def _nothing(value: Value | None) -> None:
    """Two values side by side are nothing that is known here."""
    if value is not None:
        raise _UnreadableError


def _truth(value: Value) -> str:
    if value.bits > WORD:
        raise _UnreadableError
    return value.text()


def _stores(name: str, value: Value) -> list[str]:
    """Return the statements that put a value into a variable."""
    stores = []
    for low in range(0, value.bits, WORD):
        word = value.slice(low, min(WORD, value.bits - low))
        chunk = low // CHUNK
        if word.bits <= CHUNK:
            stores.append(f"{name}.data[{chunk}] = {word.text()};\n")
            continue
        if isinstance(word, Computed):
            text = word.expression
            stores.append(
                f"{{ const uint64_t word = {text}; {name}.data[{chunk}] = uint32_t(word);"
                f" {name}.data[{chunk + 1}] = uint32_t(word >> {CHUNK}); }}\n"
            )
            continue
        for part in range(0, word.bits, CHUNK):
            text = word.slice(part, min(CHUNK, word.bits - part)).text()
            stores.append(f"{name}.data[{chunk + part // CHUNK}] = {text};\n")
    return stores
