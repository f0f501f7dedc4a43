"""A tolerant lexer of Verilog and SystemVerilog: any text becomes tokens, in time linear in its length."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from hanok.errors import HanokError

_WORDS = """
always always_comb always_ff always_latch and assert assign assume automatic begin bit break buf byte
case casex casez const continue cover deassign default defparam disable do edge else end endcase endclass
endfunction endgenerate endinterface endmodule endpackage endprimitive endproperty endsequence endtask
enum event final for force forever fork function generate genvar if iff import initial inout input inside
int integer interface join localparam logic longint macromodule modport module nand negedge new nor not or
output package packed parameter posedge primitive priority property real reg release repeat return sequence
shortint signed specify static string struct supply0 supply1 task time tri tri0 tri1 triand trior typedef
union unique unsigned var void wait wand while wire wor xnor xor"""
KEYWORDS = frozenset(_WORDS.split())
_PATTERN = re.compile(
    r"""(?:\s+|//[^\n]*|/\*(?:.*?\*/|.*)|\(\*(?!\s*\))(?:.*?\*\)|.*))
    |(?P<name>[A-Za-z_$][\w$]*|\\\S+)
    |(?P<number>[0-9][0-9_]*\s*'[sS]?[bodhBODH]\s*[\w?]*|'[sS]?[bodhBODH]\s*[\w?]+|'[01xzXZ]|[0-9][\w.]*)
    |(?P<text>"(?:[^"\\\n]|\\.)*"?)
    |(?P<macro>`[\w"`]*)
    |(?P<sign><<<=|>>>=|===|!==|==\?|!=\?|<<<|>>>|<<=|>>=|&&&|->|=>|\|->|[-+*/%&|^]=|<=|>=|==|!=|&&|\|\||
        \*\*|<<|>>|~&|~\||~\^|\^~|\+:|-:|::|\+\+|--|\S)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
MAX_TOKENS = 4_000_000
MAX_NAMES = 200_000
_OPEN, _CLOSE = ("module", "macromodule", "primitive"), ("endmodule", "endprimitive")


@dataclass(frozen=True)
class Module:
    """A module of a file: where its text begins and ends, as offsets."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Tokens:
    """Tokens of a file without its comments: a code for each, the same for all names and all numbers."""

    codes: NDArray[np.uint32]
    offsets: NDArray[np.int32]
    lines: NDArray[np.int64]
    """Where each line but the first begins."""
    modules: tuple[Module, ...]
    names: Counter[str]
    """How often each identifier occurs, of the first MAX_NAMES different ones."""

    def line_of(self, offset: int) -> int:
        """Return the line, from 1, of an offset."""
        return int(np.searchsorted(self.lines, offset, side="right")) + 1

    def module_at(self, offset: int) -> str:
        """Return the name of the module around an offset; empty outside of all."""
        index = bisect_right(self.modules, offset, key=lambda module: module.start) - 1
        return self.modules[index].name if index >= 0 and offset <= self.modules[index].end else ""

    def module_of_line(self, line: int) -> str:
        """Return the name of the module around the beginning of a line, from 1."""
        if line < 2:
            return self.modules[0].name if self.modules and not self.modules[0].start else ""
        return self.module_at(int(self.lines[min(line - 2, len(self.lines) - 1)])) if len(self.lines) else ""


def read_tokens(text: str) -> Tokens:
    """Return the tokens of a text, whatever it is.

    Names, numbers, strings and macros become one code each; keywords and operators keep theirs.
    Raises HanokError past MAX_TOKENS.
    """
    codes, offsets = array("I"), array("i")
    names: Counter[str] = Counter()
    modules: list[Module] = []
    known = {word: crc32(word.encode()) for word in KEYWORDS}
    general = {kind: crc32(f"<{kind}>".encode()) for kind in ("name", "number", "text", "macro")}
    expected, opened, began = False, "", 0
    for match in _PATTERN.finditer(text):
        kind = match.lastgroup
        if kind is None:
            continue
        if kind == "sign":
            code = crc32(match.group().encode("latin-1"))
        elif kind == "name":
            word = match.group()
            code = known.get(word, 0)
            if not code:
                code = general["name"]
                if len(names) < MAX_NAMES or word in names:
                    names[word] += 1
                if expected:
                    opened, expected = word.removeprefix("\\"), False
            elif word in _OPEN:
                expected, opened, began = True, "", match.start()
            elif word in _CLOSE and opened:
                modules.append(Module(opened, began, match.end()))
                opened = ""
        else:
            code = general[kind]
        codes.append(code)
        offsets.append(match.start())
        if len(codes) > MAX_TOKENS:
            raise HanokError(
                f"more than {MAX_TOKENS:,} tokens; give the modules in question, not all of them"
            )
    if opened:
        modules.append(Module(opened, began, len(text)))
    found = np.frombuffer(text.encode("latin-1", "replace"), np.uint8)
    lines = np.flatnonzero(found == ord("\n")).astype(np.int64) + 1
    return Tokens(
        np.frombuffer(codes, np.uint32), np.frombuffer(offsets, np.int32), lines, tuple(modules), names
    )
