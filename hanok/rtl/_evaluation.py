"""CXXRTL's evaluation of a design cut into short functions: compilers take too long over one of megabytes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hanok.rtl._mended import MENDED, mend
from hanok.rtl._state import join_registers
from hanok.rtl._word_operators import SHIFTS
from hanok.rtl._word_statements import Statements, widths_of

FILE_BYTES = 1_000_000
"""Each source costs a compiler two seconds for headers, and four for a megabyte."""
NODES = 100
"""Nodes of the design in a function; with 60 to 100 the time of a compiler is near its least."""
_HEAD = "bool p_top::eval(performer *performer) {\n"
_TAIL = "\treturn converged;\n}\n"
_END = "}; // struct p_top\n"
_LOCAL = re.compile(r"\tvalue<\d+> \w+;\n")
_FLAG = re.compile(r"\tbool (\w+) = .*;\n")
_RUNS = re.compile(r"\twire<1> ((\w+_2e_|p_)datapath__runs)\b")
"""The enable of a submodule `datapath`, and the prefix of what stands beside it."""
_ASSIGNED = re.compile(
    r"^\t+(?:(?!if|else|for|auto|return)(\w.*?)(?:\.next)? = |(\w+)\.update\()", re.MULTILINE
)
_NAME = re.compile(r"\b(?:p|i|memory_p)_\w+")
_NAMESPACE = "namespace design {\n"
_OPENING = '#include "design.h"\nusing namespace cxxrtl_yosys;\nnamespace design {\n'
_CLOSING = "} // namespace design\n"
_WRITE = re.compile(r"^(\t+)(\w+\.update\(.*, )(\S+)(, \d+\);\n)", re.MULTILINE)
_TERM = re.compile(
    r"(\w+(?:\.curr)?)(?:\.slice<(\d+)(?:,(\d+))?>\(\))?(?:\.val\(\))?(?:\.repeat<(\d+)>\(\))?"
)
_SPREAD = """
template<size_t bits, size_t width> static value<bits> hanok_spread(const value<bits / width> &mask) {
\tvalue<bits> spread;
\tfor (size_t bit = 0; bit < bits; bit += width == 8 ? 32 : 1) {
\t\tsize_t part = bit / width;
\t\tuint32_t given = mask.data[part / 32] >> (part % 32);
\t\tuint32_t bytes = (((given & 15) * 0x204081u) & 0x1010101u) * 255u;
\t\tspread.data[bit / 32] |= width == 8 ? bytes : (given & 1) << (bit % 32);
\t}
\tspread.data[value<bits>::chunks - 1] &= value<bits>::msb_mask;
\treturn spread;
}

"""


def split_evaluation(header: str, source: str) -> tuple[str, list[str]]:
    """Return CXXRTL's header and sources with the body of `eval` in functions that it calls in turn.

    Its values become members, its registers the structures `state` and `following`, and its expressions
    integers (`_word_statements`). A node begins with a comment of its own. The flags that `eval` begins with
    are passed on. Functions go into sources of about `FILE_BYTES`, which compilers can work on side by side.

    A submodule `datapath` whose registers move only while the register `datapath_runs` beside it is 1 is left
    out while that is 0, but for the first cycle of it, in which its outputs settle.
    """
    gates = [_Gate(match[1], match[2]) for match in _RUNS.finditer(header)]
    statements = Statements(widths_of(header) | widths_of(source))
    source = _WRITE.sub(lambda match: _spread_write(match, statements.widths), mend(source))
    header, source, registers = join_registers(header, source)
    before, rest = source.split(_HEAD)
    body, after = rest.split(_TAIL, 1)
    lines = body.splitlines(keepends=True)
    flags = [match[1] for line in lines if (match := _FLAG.fullmatch(line))]
    members = [line for line in lines if _LOCAL.fullmatch(line)]
    parts = _parts(
        [line for line in lines if not _LOCAL.fullmatch(line) and not _FLAG.fullmatch(line)], gates
    )
    taken = ", ".join([*(f"bool &{flag}" for flag in flags), "performer *performer"])
    given = ", ".join([*flags, "performer"])
    names = [f"part_{number}" for number in range(len(parts))]
    members += [f"\t__attribute__((noinline)) void {name}({taken});\n" for name in names]
    members += [f"\tbool {gate.ran} = true, {gate.goes};\n" for gate in gates]
    made = [
        f"void p_top::{name}({taken}) {{\n{''.join(statements.translate(part))}}}\n\n"
        for name, part in zip(names, parts, strict=True)
    ]
    calls = [
        *(line for line in lines if _FLAG.fullmatch(line)),
        *(f"\t{gate.goes} = {gate.runs}.curr || {gate.ran};\n" for gate in gates),
        *(f"\t{name}({given});\n" for name in names),
        *(f"\t{gate.ran} = bool({gate.runs}.curr);\n" for gate in gates),
    ]
    header = header.replace(_NAMESPACE, _NAMESPACE + _SPREAD + SHIFTS + MENDED)
    header = header.replace(_END, "".join([*members, _END]))
    first, *others = _files([registers.in_state(text) for text in made])
    main = "".join([before, first, registers.in_state("".join([_HEAD, *calls, _TAIL])), after])
    return header, [main, *(_OPENING + text + _CLOSING for text in others)]


def _files(functions: list[str]) -> list[str]:
    files = [""]
    for function in functions:
        if len(files[-1]) + len(function) > FILE_BYTES and files[-1]:
            files.append("")
        files[-1] += function
    return files


@dataclass(frozen=True)
class _Gate:
    """A datapath: its enable, and the prefix of the names beside it."""

    runs: str
    prefix: str

    @property
    def inside(self) -> str:
        """What the names of all of the datapath's nets contain, also of those without a name of their own."""
        return self.prefix.removeprefix("p_") + "datapath_2e_"

    @property
    def ran(self) -> str:
        return f"{self.runs}_before"

    @property
    def goes(self) -> str:
        return f"{self.runs}_now"


def _parts(lines: list[str], gates: list[_Gate]) -> list[list[str]]:
    """Cut the nodes into lists of lines; neighbours in one datapath stand behind one test of its enable."""
    parts: list[list[str]] = [[]]
    nodes, behind = 0, None
    for node in _nodes(lines):
        gate = _gate_of("".join(node), gates)
        nodes += 1
        ends = nodes > NODES
        if behind is not None and (ends or gate is not behind):
            parts[-1].append("\t}\n")
            behind = None
        if ends:
            parts.append([])
            nodes = 1
        if gate is not behind:
            parts[-1].append(f"\tif ({gate.goes}) {{\n" if gate else "")
            behind = gate
        parts[-1] += node
    if behind is not None:
        parts[-1].append("\t}\n")
    return parts


def _nodes(lines: list[str]) -> list[list[str]]:
    nodes: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("\t//") and nodes[-1]:
            nodes.append([])
        nodes[-1].append(line)
    return nodes


def _gate_of(node: str, gates: list[_Gate]) -> _Gate | None:
    """Return the datapath in which all of a node's results lie."""
    results = [
        name for match in _ASSIGNED.finditer(node) for name in _NAME.findall(match[1] or match[2] or "")
    ]
    for gate in gates:
        if results and all(gate.inside in name for name in results):
            return gate
    return None


def _spread_write(match: re.Match[str], widths: dict[str, int]) -> str:
    """Spread the mask of a memory write by a function, and leave out a write of nothing.

    As CXXRTL has it, a mask of bytes becomes one of bits in an expression of hundreds of terms, which
    compilers take minutes over, and a write of nothing waits in a queue as others do.
    """
    indent, write, mask, end = match.groups()
    found = _mask_bits(mask, widths)
    if not found:
        return match[0]
    wire, bits = found
    low, high = bits[0], bits[-1]
    width = len(bits) // (high - low + 1)
    if bits != [low + place // width for place in range(len(bits))]:
        return match[0]
    return (
        f"{indent}auto mask = {wire}.slice<{high},{low}>().val();\n"
        f"{indent}if (!mask.is_zero()) {write}hanok_spread<{len(bits)}, {width}>(mask){end}"
    )


def _mask_bits(mask: str, widths: dict[str, int]) -> tuple[str, list[int]] | None:
    """Return a wire and which of its bits make a mask, the lowest first, if they are bits of one wire."""
    first, *others = mask.removesuffix(".val()").split(".concat(")
    bits: list[int] = []
    wires = set()
    for part in [first, *(other.removesuffix(")") for other in others)]:
        term = _TERM.fullmatch(part)
        whole = widths.get(term[1].removesuffix(".curr")) if term else None
        if not term or not whole:
            return None
        wires.add(term[1])
        high, low = int(term[2] or whole - 1), int(term[3] or term[2] or 0)
        bits[:0] = list(range(low, high + 1)) * int(term[4] or 1)
    return (wires.pop(), bits) if len(wires) == 1 else None
