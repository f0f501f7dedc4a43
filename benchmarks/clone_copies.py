"""What a thief makes of a design: other names, order, numbers and gates, a part of it, a core of a system."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hanok.protect.clones._elaborate import roots_of
from hanok.protect.clones._lexer import _PATTERN, KEYWORDS, read_tokens
from hanok.protect.clones._yosys import MOUNT, run_yosys
from hanok.protect.clones.sources import SourceFile, Sources

_DIRECTIVES = frozenset(
    [
        "include",
        "define",
        "undef",
        "ifdef",
        "ifndef",
        "elsif",
        "else",
        "endif",
        "timescale",
        "default_nettype",
        "resetall",
        "celldefine",
        "endcelldefine",
        "line",
        "begin_keywords",
        "end_keywords",
    ]
)
_FLOWS = {
    "words": "hierarchy -top {top}; proc; flatten; opt -full; wreduce; opt_clean",
    "words with other states": "synth -flatten -noalumacc -top {top} -run begin:fine; opt_clean",
    "cells": "synth -flatten -top {top}; abc -g AND,OR,XOR,MUX,ANDNOT; opt_clean",
    "nand": "synth -flatten -top {top}; dffunmap; simplemap; aigmap -nand; opt_clean",
}


class CopyError(Exception):
    """A copy that cannot be made of this design."""


def tokens(text: str) -> list[tuple[str, str]]:
    """Return kind (None for space and comments) and text of everything."""
    return [(match.lastgroup or "", match.group()) for match in _PATTERN.finditer(text)]


def renamed(sources: Sources, seed: int, prefix: str = "") -> Sources:
    """Other names for everything, other spaces and lines, no comments."""
    random = Random(seed)
    names: dict[str, str] = {}
    headers = {
        file.name: f"{prefix}h{number}.vh" for number, file in enumerate(sources.files) if file.is_header
    }

    def other(name: str) -> str:
        if name in KEYWORDS or name.startswith("$") or name == "none":
            return name
        name = name.removeprefix("\\")
        return names.setdefault(name, f"{prefix}q{len(names)}_{random.randrange(1 << 20):x}")

    def written(kind: str, word: str) -> str:
        match kind:
            case "name":
                return other(word) + (" " if word.startswith("\\") else "")
            case "macro":
                plain = word[1:]
                return word if plain in _DIRECTIVES or not plain.isidentifier() else "`" + other(plain)
            case "text":
                return f'"{headers[word[1:-1]]}"' if word[1:-1] in headers else word
            case "" if word == "(* keep *)":
                return word
            case "":
                return "\n" * random.randrange(1, 3) + " " * random.randrange(9) if "\n" in word else " "
        return word

    files = []
    for file in sources.files:
        text = "".join(written(*token) for token in tokens(file.text))
        text = re.sub(r"\\\n\s*", "\\\n", text)  # a macro goes on in the next line
        files.append(SourceFile(headers.get(file.name, f"{prefix}copy.v"), text))
    return Sources("copy", tuple(files))


def _body(text: str) -> tuple[list[tuple[str, str]], list[tuple[int, int]]]:
    """Return all tokens, and of each assign and always of a module's own level where it is in them."""
    everything = tokens(text)
    conditional = 0
    solid = [number for number, (kind, _) in enumerate(everything) if kind]
    words = [everything[number][1] for number in solid]
    items, depth, index, is_inside = [], 0, 0, False
    opening = {"begin", "function", "task", "generate", "case", "casez", "casex", "specify", "fork"}
    closing = {"end", "endfunction", "endtask", "endgenerate", "endcase", "endspecify", "join"}
    while index < len(words):
        word = words[index]
        if word == "module":
            while index < len(words) and words[index] != ";":
                index += 1
            is_inside = True
        elif word == "endmodule":
            is_inside = False
        elif word in ("`ifdef", "`ifndef", "`endif"):
            conditional += -1 if word == "`endif" else 1
        elif word in opening:
            depth += 1
        elif word in closing:
            depth -= 1
        elif (
            is_inside
            and not depth
            and not conditional
            and word in ("assign", "always")
            and words[index - 1] in (*closing, ";")
        ):
            end = _statement(words, index + 1)
            items.append((solid[index], solid[min(end, len(words)) - 1] + 1))
            index = end
            continue
        index += 1
    return everything, items


def _statement(words: Sequence[str], index: int) -> int:
    """Return where a statement ends that begins at a word; events and conditions before it are skipped."""
    pairs = {"begin": "end", "case": "endcase", "casez": "endcase", "casex": "endcase"}
    while index < len(words):
        word = words[index]
        if word in pairs:
            depth = 0
            while index < len(words):
                depth += (words[index] in pairs) - (words[index] in ("end", "endcase"))
                index += 1
                if not depth:
                    break
            return index
        if word == "if":
            index = _statement(words, _parenthesis(words, index + 1))
            return _statement(words, index + 1) if words[index : index + 1] == ["else"] else index
        if word == "@":
            index = _parenthesis(words, index + 1) if words[index + 1] == "(" else index + 2
        elif word == "for":
            index = _parenthesis(words, index + 1)
        else:
            while index < len(words) and words[index] != ";":
                index += 1
            return index + 1
    return index


def _parenthesis(words: Sequence[str], index: int) -> int:
    depth = 0
    while index < len(words):
        depth += (words[index] == "(") - (words[index] == ")")
        index += 1
        if not depth:
            break
    return index


def reordered(sources: Sources, seed: int) -> Sources:
    """Renamed, and always blocks, assigns and modules in another order."""
    random = Random(seed)
    files = []
    for file in sources.files:
        read = read_tokens(file.text)
        if not read.modules:
            files.append(file)
            continue
        parts = [file.text[: read.modules[0].start]]
        bounds = [module.start for module in read.modules[1:]] + [len(file.text)]
        modules = [
            _shuffled(file.text[module.start : end], random)
            for module, end in zip(read.modules, bounds, strict=True)
        ]
        if "`" not in "".join(
            file.text[module.end : end] for module, end in zip(read.modules, bounds, strict=True)
        ):
            random.shuffle(modules)
        files.append(SourceFile(file.name, "\n".join(parts + modules)))
    return renamed(Sources("copy", tuple(files)), seed + 1)


def _shuffled(text: str, random: Random) -> str:
    everything, items = _body(text)
    spans = ["".join(word for _, word in everything[start:end]) for start, end in items]
    movable = [number for number, span in enumerate(spans) if "`" not in span]
    order = movable[:]
    random.shuffle(order)
    out, last = [], 0
    for number, (start, end) in enumerate(items):
        kept = [] if number in movable else [spans[number]]
        out += [word for _, word in everything[last:start]] + kept
        last = end
    rest = "".join(word for _, word in everything[last:])
    return "".join(out) + rest.replace(
        "endmodule", "\n" + "\n".join(spans[each] for each in order) + "\nendmodule", 1
    )


def with_other_numbers(sources: Sources, seed: int) -> Sources:
    """Renamed, and three in ten of the constants with a width of four bits or more are others."""
    random = Random(seed)

    def other(match: re.Match[str]) -> str:
        if int(match.group(1)) < 4 or random.random() > 0.3:
            return match.group()
        last = match.group(4)
        return match.group(1) + match.group(2) + match.group(3) + ("1" if last == "0" else "0")

    changed = [
        SourceFile(file.name, re.sub(r"\b(\d+)('[hdbHDB])([0-9a-fA-F_]*)([0-9a-fA-F])\b", other, file.text))
        for file in sources.files
    ]
    return renamed(Sources("copy", tuple(changed)), seed + 1)


def resynthesised(sources: Sources, top: str, how: str, seed: int) -> Sources:
    """Written back by Yosys, with no names left: as words after optimisation, or as gates.

    With other states: all that its synthesis does before gates, a new encoding of states among it.
    """
    with TemporaryDirectory() as folder:
        work = Path(folder)
        for file in sources.files:
            (work / file.name).write_text(file.text, "latin-1")
        files = " ".join(f"{MOUNT}/{file.name}" for file in sources.files if not file.is_header)
        script = f"read_verilog -sv -I{{m}} {{files}}; {_FLOWS[how]}; write_verilog -noattr {{m}}/out.v"
        failure = run_yosys(
            work, script.format(m=MOUNT, files=files, top=top).replace("; ", "\n") + "\n", 240
        )
        if failure:
            raise CopyError(failure)
        text = with_nets_at_pins((work / "out.v").read_text("latin-1"))
        (work / "out.v").write_text(text, "latin-1")
        if failure := run_yosys(work, f"read_verilog -sv {MOUNT}/out.v\nhierarchy -top {top}\n", 120):
            raise CopyError(f"what Yosys wrote is no Verilog: {failure}")
    return renamed(Sources("copy", (SourceFile("copy.v", text),)), seed)


def with_nets_at_pins(text: str) -> str:
    """Return what Yosys wrote with a register of its own behind each inout port, which may be none itself."""
    for width, name in re.findall(r"^\s*inout ((?:\[[^\]]*\] )?)(\S+) ?;", text, re.MULTILINE):
        own = re.escape(name)
        if re.search(rf"^\s*reg {re.escape(width)}{own} ?;", text, re.MULTILINE):
            text = re.sub(rf"(\s){own}( ?(?:\[[^\]]*\] )?<=)", rf"\1driven_{name}\2", text)
            declared = f"wire {width}{name};\n  reg {width}driven_{name};\n  assign {name} = driven_{name};"
            text = re.sub(rf"reg {re.escape(width)}{own} ?;", declared, text, count=1)
    return text


def partly(sources: Sources, host: Sources, seed: int) -> Sources:
    """Three tenths of a design, in a file with another: whole modules where that fits, or else blocks."""
    text = "\n".join(file.text for file in sources.files if not file.is_header)
    read = read_tokens(text)
    total = sum(module.end - module.start for module in read.modules)
    random = Random(seed)
    order = list(read.modules)
    random.shuffle(order)
    taken, size = [], 0
    for module in order:
        if size + module.end - module.start <= 0.35 * total:
            taken.append(module)
            size += module.end - module.start
    if size >= 0.22 * total:
        before = text[: read.modules[0].start]
        part = before + "\n".join(text[module.start : module.end] for module in taken)
    else:
        part = _blocks(text, random)
    headers = tuple(file for file in sources.files if file.is_header)
    copied = renamed(Sources("copy", (SourceFile("part.v", part), *headers)), seed, "p_")
    return Sources("copy", (*renamed(host, seed + 1, "h_").files, *copied.files))


def _blocks(text: str, random: Random) -> str:
    """Return a text whose largest module keeps a run of three tenths of its blocks, each kept alive."""
    largest = max(read_tokens(text).modules, key=lambda module: module.end - module.start)
    before = text[: read_tokens(text).modules[0].start]
    module = text[largest.start : largest.end]
    everything, items = _body(module)
    sizes = [sum(bool(kind) for kind, _ in everything[start:end]) for start, end in items]
    if len(items) < 3:
        raise CopyError("too few blocks")
    begin = random.randrange(max(1, int(0.7 * len(items))))
    kept, size = set(), 0
    for number in [*range(begin, len(items)), *range(begin)]:
        if size >= 0.3 * sum(sizes):
            break
        kept.add(number)
        size += sizes[number]
    out, last, targets = [], 0, {}
    for number, (start, end) in enumerate(items):
        out += [word for _, word in everything[last:start]]
        if number in kept:
            span = "".join(word for _, word in everything[start:end])
            out.append(span)
            targets |= dict.fromkeys(
                re.findall(r"(?:^|[;)\s])([A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*)?<?=(?!=)", span)
            )
        last = end
    out += [word for _, word in everything[last:]]
    whole = "".join(out)
    alive = [
        name
        for name in targets
        if name not in KEYWORDS
        and re.search(rf"\b(?:reg|wire|output|logic)\b[^;()]*\b{name}\b", whole)
        and not re.search(rf"\b{name}\s*\[[^\]]*\]\s*[;,]", whole)
    ]
    lines = "".join(f"(* keep *) wire alive_{number} = ^{name};\n" for number, name in enumerate(alive))
    # The instances of the module stay as boxes, since what they are instances of is not in the file.
    return before + "\n`default_nettype wire\n" + whole.replace("endmodule", lines + "endmodule")


def buried(sources: Sources, top: str, others: Sequence[Sources], seed: int) -> Sources:
    """A design, renamed, in a system of others whose outputs are its inputs, and the other way round."""
    parts = [renamed(each, seed + number, f"s{number}_") for number, each in enumerate((sources, *others))]
    random = Random(seed)
    order = list(range(len(parts)))
    random.shuffle(order)
    instances, buses = [], []
    for place, number in enumerate(order):
        name, ports = _ports(parts[number])
        earlier = f"bus{place - 1}" if place else "pins"
        width = buses[-1][1] if place else 64
        outputs = sum(size for _, way, size in ports if way != "input")
        links, used, given = [], 0, 0
        for port, way, size in ports:
            if way == "input":
                bits = ", ".join(f"{earlier}[{(used + bit) % width}]" for bit in range(size))
                clock = "clk" if size == 1 and used == 0 else ""
                links.append(f".{port}({clock or '{' + bits + '}'})")
                used += size
            else:
                links.append(f".{port}(bus{place}[{given + size - 1}:{given}])")
                given += size
        buses.append((f"bus{place}", max(1, outputs)))
        instances.append(f"  {name} u{place} ({', '.join(links)});\n")
    declared = "".join(f"  wire [{width - 1}:0] {name};\n" for name, width in buses)
    result = " ^ ".join(f"(^{name})" for name, _ in buses)
    text = f"module whole_system (input clk, input [63:0] pins, output result);\n{declared}"
    text += "".join(instances) + f"  assign result = {result};\nendmodule\n"
    files = [SourceFile("system.v", text)]
    for number, part in enumerate(parts):
        files += [file if file.is_header else SourceFile(f"s{number}.v", file.text) for file in part.files]
    return Sources("system", tuple(files))


def _ports(sources: Sources) -> tuple[str, list[tuple[str, str, int]]]:
    """Return the only root of a design and its ports: name, way, width."""
    root = roots_of([read_tokens(file.text) for file in sources.files])[0]
    with TemporaryDirectory() as folder:
        work = Path(folder)
        for file in sources.files:
            (work / file.name).write_text(file.text, "latin-1")
        files = " ".join(f"{MOUNT}/{file.name}" for file in sources.files if not file.is_header)
        script = (
            f"read_verilog -sv -I{MOUNT} {files}\nhierarchy -top {root}\nproc\nwrite_json {MOUNT}/out.json\n"
        )
        failure = run_yosys(work, script, 120)
        if failure:
            raise CopyError(failure)
        ports = json.loads((work / "out.json").read_text("latin-1"))["modules"][root]["ports"]
    return root, [(name, port["direction"], len(port["bits"])) for name, port in ports.items()]
