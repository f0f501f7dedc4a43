"""CXXRTL's evaluation of a design cut into short functions: compilers take too long over one of megabytes."""

from __future__ import annotations

import re

NODES = 100
"""Nodes of the design in a function; with 60 to 100 the time of a compiler is near its least."""
_HEAD = "bool p_top::eval(performer *performer) {\n"
_TAIL = "\treturn converged;\n}\n"
_END = "}; // struct p_top\n"
_LOCAL = re.compile(r"\tvalue<\d+> \w+;\n")
_FLAG = re.compile(r"\tbool (\w+) = .*;\n")


def split_evaluation(text: str) -> str:
    """Return the C++ with the body of `eval` in functions that it calls in turn; its values become members.

    A node begins with a comment of its own. The flags that `eval` begins with are passed on.
    """
    before, rest = text.split(_HEAD)
    body, after = rest.split(_TAIL, 1)
    lines = body.splitlines(keepends=True)
    flags = [match[1] for line in lines if (match := _FLAG.fullmatch(line))]
    members = [line for line in lines if _LOCAL.fullmatch(line)]
    parts = _parts([line for line in lines if not _LOCAL.fullmatch(line) and not _FLAG.fullmatch(line)])
    taken = ", ".join([*(f"bool &{flag}" for flag in flags), "performer *performer"])
    given = ", ".join([*flags, "performer"])
    names = [f"part_{number}" for number in range(len(parts))]
    members += [f"\t__attribute__((noinline)) void {name}({taken});\n" for name in names]
    made = [
        f"void p_top::{name}({taken}) {{\n{''.join(part)}}}\n\n"
        for name, part in zip(names, parts, strict=True)
    ]
    starts = [line for line in lines if _FLAG.fullmatch(line)]
    calls = [f"\t{name}({given});\n" for name in names]
    before = before.replace(_END, "".join([*members, _END]))
    return "".join([before, *made, _HEAD, *starts, *calls, _TAIL, after])


def _parts(lines: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    nodes = 0
    for line in lines:
        if line.startswith("\t//"):
            nodes += 1
            if nodes > NODES:
                parts.append([])
                nodes = 1
        parts[-1].append(line)
    return parts
