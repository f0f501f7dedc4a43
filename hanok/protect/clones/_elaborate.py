"""Verilog made into flat netlists by Yosys: of words, and of gates and flip-flops alone."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hanok.protect.clones._lexer import Tokens
from hanok.protect.clones._netlist import Netlist, read_netlists
from hanok.protect.clones._yosys import MOUNT, has_yosys, run_yosys
from hanok.protect.clones.sources import Sources

MAX_ROOTS = 64
"""Modules that no other instantiates, each of which is elaborated on its own."""
MAX_ATTEMPTS = 12
"""Files and roots that Yosys does not understand and that are left out."""
MAX_NETLIST_BYTES = 256 << 20
SMALL_MEMORY_WORDS = 16
"""Memories up to this depth become flip-flops on the level of gates; others stay boxes."""
_FLAT = """design -load all
hierarchy -top {top}
proc
flatten
opt_expr
opt_clean
memory_collect
opt_clean
design -save flat
"""
_FLAT_JSON = f"""read_json {MOUNT}/given.json
hierarchy -auto-top
proc
flatten
opt_clean
memory_collect
design -save flat
"""
_SIMPLIFIED = """design -load flat
{simplify}
wreduce
peepopt
opt_clean
{simplify}
dffunmap
opt_expr
opt_clean
write_json {folder}/{kind}{number}.json
"""
"""A normal form: what another synthesis would simplify is simplified on both sides, enables and resets are
multiplexers, and words are as narrow as they can be, so that a design and what a tool made of it look alike.
"""
_SIMPLIFY = {
    "states": "opt -mux_undef -mux_bool -fine",
    "words": "opt -noff -mux_undef -mux_bool -fine",
}
"""By netlist. Of `states` registers are split by their enables and resets, and those that never change
vanish: in a system that holds a copy's reset, all of them. `words` keeps registers as they are written.
Without -undriven: a part that was cut out of a design must not vanish with what drove it.
"""
_GATES = """design -load flat
memory_map t:$mem_v2 r:SIZE<={depth} %i
techmap
opt_expr
opt_merge
dffunmap
simplemap
opt_expr
opt_clean
aigmap
opt_merge
opt_clean
write_json {folder}/gates{number}.json
"""
_ERROR_FILE = re.compile(rf"{MOUNT}/(\d+)\.s?v\b(?::(\d+))?")
_INCLUDE = re.compile(r'`include\s+"(?:[^"\n]*/)?([^"/\n]+)"')
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w$]*", re.ASCII)
"""A name goes into a script of Yosys; any other could hold commands."""


@dataclass(frozen=True)
class Elaboration:
    """Flat netlists of the roots of a design; `notes` says what was left out, and why."""

    words: tuple[Netlist, ...] = ()
    states: tuple[Netlist, ...] = ()
    """The same words, but with registers as a synthesis leaves them."""
    gates: tuple[Netlist, ...] = ()
    notes: tuple[str, ...] = ()


def roots_of(tokens: list[Tokens]) -> list[str]:
    """Return the names of modules that are named nowhere but where they are defined, the largest first."""
    sizes: dict[str, int] = {}
    counted: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for file in tokens:
        counted.update(file.names)
        for module in file.modules:
            sizes[module.name] = max(sizes.get(module.name, 0), module.end - module.start)
            ends[module.name] += 1
    found = [name for name in sizes if counted[name] + counted[f"\\{name}"] <= ends[name]]
    return sorted(found or sizes, key=lambda name: (-sizes[name], name))


def elaborate(sources: Sources, tokens: list[Tokens], has_gates: bool, limit_s: float) -> Elaboration:
    """Return the netlists of a design's roots; what Yosys refuses is left out and noted."""
    if sources.is_json:
        return _from_json(sources, has_gates, limit_s)
    roots = [name for name in roots_of(tokens) if _PLAIN_NAME.fullmatch(name)]
    notes = [f"{len(roots):,} modules that no other holds; the {MAX_ROOTS} largest were elaborated"]
    notes = notes if len(roots) > MAX_ROOTS else []
    with TemporaryDirectory() as folder:
        work = Path(folder)
        _put(sources, work)
        files = [number for number, file in enumerate(sources.files) if not file.is_header]
        left_out = _run(sources, work, files, roots[:MAX_ROOTS], has_gates, time.monotonic() + limit_s)
        words, states, gates = (_collect(work, kind, sources.name) for kind in ("words", "states", "gates"))
    return Elaboration(words, states, gates, (*notes, *left_out))


def _put(sources: Sources, work: Path) -> None:
    """Write the files under numbers, and under their own names, without folders, for what includes them."""
    for number, file in enumerate(sources.files):
        text = _INCLUDE.sub(r'`include "\1"', file.text)
        if not file.is_header:
            (work / f"{number}.{'sv' if file.ending == '.sv' else 'v'}").write_text(text, "latin-1")
        base = file.name.rsplit("/", 1)[-1]
        if re.fullmatch(r"[A-Za-z_][\w.-]{0,100}", base, re.ASCII):
            (work / base).write_text(text, "latin-1")


def _run(
    sources: Sources, work: Path, files: list[int], roots: list[str], has_gates: bool, end_s: float
) -> list[str]:
    """Elaborate root by root, again without what stopped it; return what was left out."""
    notes: list[str] = []
    numbered = dict(enumerate(roots))
    for _ in range(MAX_ATTEMPTS):
        left = {number: root for number, root in numbered.items() if not _is_done(work, number, has_gates)}
        if not left or not files:
            return notes
        failure = run_yosys(
            work, _script(sources, files, left, has_gates), max(1.0, end_s - time.monotonic())
        )
        if not failure:
            return notes
        number = next(number for number in left if not _is_done(work, number, has_gates))
        if (work / "read").exists():
            wanted = "gates" if (work / f"words{number}.json").exists() else "words"
            notes.append(f"module {numbered[number]}: no netlist of {wanted}: {_told(failure, sources)}")
            if has_gates and wanted == "gates":
                (work / f"gates{number}.json").write_text('{"modules": {}}')
            else:
                del numbered[number]
        elif (found := _ERROR_FILE.search(failure)) and int(found.group(1)) in files:
            files.remove(int(found.group(1)))
            notes.append(f"left out of the netlists: {_told(failure, sources)}")
        else:
            return [*notes, f"no netlist: {_told(failure, sources)}"]
        if time.monotonic() > end_s:
            return [*notes, "no netlists of the rest: out of time"]
    return [*notes, "no netlists of the rest: too much that Yosys does not understand"]


def _is_done(work: Path, number: int, has_gates: bool) -> bool:
    return (work / f"{'gates' if has_gates else 'words'}{number}.json").exists()


def _script(sources: Sources, files: list[int], roots: dict[int, str], has_gates: bool) -> str:
    names = " ".join(
        f"{MOUNT}/{number}.{'sv' if sources.files[number].ending == '.sv' else 'v'}" for number in files
    )
    lines = [f"read_verilog -sv -defer -I{MOUNT} {names}\n", f"write_file {MOUNT}/read <<EOT\n.\nEOT\n"]
    lines.append("design -save all\n")
    for number, root in roots.items():
        lines.append(_FLAT.format(top=root) + _after_flat(number, has_gates))
    return "".join(lines)


def _after_flat(number: int, has_gates: bool) -> str:
    """Return the script that writes the netlists of a root; that by which `_is_done` knows comes last."""
    parts = [
        _SIMPLIFIED.format(simplify=simplify, kind=kind, folder=MOUNT, number=number)
        for kind, simplify in _SIMPLIFY.items()
    ]
    if has_gates:
        parts.append(_GATES.format(folder=MOUNT, number=number, depth=SMALL_MEMORY_WORDS))
    return "".join(parts)


def _told(failure: str, sources: Sources) -> str:
    """Return Yosys' words with the user's names of the files."""
    return _ERROR_FILE.sub(
        lambda match: (
            sources.files[int(match.group(1))].name + (f":{match.group(2)}" if match.group(2) else "")
        ),
        failure,
    )


def _collect(work: Path, kind: str, where: str) -> tuple[Netlist, ...]:
    found: list[Netlist] = []
    left_bytes = MAX_NETLIST_BYTES
    for place in sorted(work.glob(f"{kind}*.json"), key=lambda path: int(path.stem.removeprefix(kind))):
        left_bytes -= place.stat().st_size
        if left_bytes < 0:
            break
        found += read_netlists(place.read_text("latin-1"), where)
    return tuple(found)


def _from_json(sources: Sources, has_gates: bool, limit_s: float) -> Elaboration:
    text = sources.files[0].text
    raw = tuple(read_netlists(text, sources.name))
    if not has_yosys():
        return Elaboration(raw, raw)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "given.json").write_text(text, "latin-1")
        failure = run_yosys(work, _FLAT_JSON + _after_flat(0, has_gates), limit_s)
        words, states, gates = (_collect(work, kind, sources.name) for kind in ("words", "states", "gates"))
    wanted = "gates" if words else "words in normal form"
    notes = (f"no netlist of {wanted}: {failure}",) if failure else ()
    return Elaboration(words or raw, states or raw, gates, notes)
