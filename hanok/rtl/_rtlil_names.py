"""Plain names for RTLIL: no escapes, no words of Verilog or C++, equal modules once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hanok.rtl._rtlil import NAME, Item, Unit, is_port

_WORDS = """
abort accept_on access alias alignas always always_comb always_ff always_latch and assert assign assume auto
automatic before begin bind bins binsof bit bool break buf bufif0 bufif1 byte case casex casez catch cell
chandle char checker class clocking close cmos complex config connect const constraint context continue
cover covergroup coverpoint cross deassign default defparam delete design disable dist do double dump edge
else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface
endmodule endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask enum errno
event eventually expect explicit export extends extern false final first_match float for force foreach
forever fork forkjoin friend function generate genvar global goto highz0 highz1 if iff ifnone ignore_bins
illegal_bins implements implies import incdir include initial inline inout input inside instance int integer
interconnect interface interrupt intersect join join_any join_none large let liblist library link local
localparam logic long longint macromodule main matches medium modport module mutable namespace nand negedge
nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null nullptr open operator or output package
packed parameter pmos posedge primitive priority private program property protected public pull0 pull1
pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real
realtime ref reg register reject_on release remove rename repeat restrict return rnmos rpmos rtran rtranif0
rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared select sequence short shortint
shortreal showcancelled signed sizeof small soft solve specify specparam stat static stderr stdin stdout
string strong strong0 strong1 struct super supply0 supply1 switch sync_accept_on sync_reject_on system table
tagged task template this throughout throw time timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1
triand trior trireg true try type typedef typeid typename unimplemented union unique unique0 unsigned until
until_with untyped use uwire var vectored virtual void volatile wait wait_order wand weak weak0 weak1 while
wildcard wire with within wor xnor xor
"""
RESERVED = frozenset(_WORDS.split())
"""Keywords of SystemVerilog (IEEE 1800-2017, annex B), and names that C++ or its library takes."""


def plain(name: str) -> str:
    """Return a name of letters, digits and underscores."""
    word = re.sub(r"\W+", "_", re.sub(r"\$\d+", "", name.lstrip("\\"))).strip("$")
    word = word.strip("_") or "signal"
    return f"_{word}" if word[0].isdigit() else word


def order_wires(unit: Unit, first: Sequence[str]) -> None:
    """Put a module's wires before all else, ports first: those named in `first`, then by name.

    So equal modules are equal texts, whatever the order in which Amaranth met their wires.
    """
    places = {f"\\{name}": place for place, name in enumerate(first)}

    def key(wire: Item) -> tuple[bool, int, str, int]:
        name = wire.words[-1]
        number = re.search(r"\$(\d+)", name)
        inner = not is_port(wire)
        return inner, places.get(name, len(places)), plain(name), int(number.group(1)) if number else 0

    wires = sorted((item for item in unit.items if item.kind == "wire"), key=key)
    for place, wire in enumerate(wires, start=1):
        words = wire.words
        for direction in ("input", "output"):
            if direction in words:
                words[words.index(direction) + 1] = str(place)
        wire.lines = ["  " + " ".join(words)]
    unit.items = wires + [item for item in unit.items if item.kind != "wire"]


def local_names(unit: Unit, taken: Mapping[str, str]) -> dict[str, str]:
    """Return a name for each public one of a module, ports first: numbered where several are alike.

    `taken` are those that are given, such as ports of the top module.
    """
    declared = [item for item in unit.items if item.kind in ("wire", "cell", "memory")]
    declared.sort(key=lambda item: not is_port(item))
    names = {f"\\{old}": new for old, new in taken.items()}
    used = set(names.values())
    for item in declared:
        old = item.words[-1]
        if old in names or not old.startswith("\\"):
            continue
        word = plain(old)
        number, new = 1, word
        while new in used or new in RESERVED:
            number += 1
            new = f"{word}_{number}"
        names[old] = new
        used.add(new)
    return names


def rename(unit: Unit, names: Mapping[str, str], ports: Mapping[str, Mapping[str, str]]) -> None:
    """Put plain names into a module; `ports` has those of the modules that it instantiates, by old name."""
    for item in unit.items:
        target = ports.get(item.words[1], {}) if item.kind == "cell" else {}
        item.lines = [_renamed(line, names, target) for line in item.lines]


def _renamed(line: str, names: Mapping[str, str], target: Mapping[str, str]) -> str:
    stripped = line.lstrip()
    if stripped.startswith("parameter \\MEMID "):
        head, _, memory = line.rpartition(" ")
        old = memory.strip('"').replace("\\\\", "\\")
        return f'{head} "\\\\{names[old]}"'
    if stripped.startswith("parameter "):
        return line
    if stripped.startswith("cell "):
        word, kind, name = stripped.split()
        return f"  {word} {kind} {_new(name, names)}"
    if line.startswith("    connect "):
        word, port, signal = stripped.split(None, 2)
        return f"    {word} {_new(port, target)} {NAME.sub(lambda found: _new(found.group(), names), signal)}"
    return NAME.sub(lambda found: _new(found.group(), names), line)


def _new(name: str, names: Mapping[str, str]) -> str:
    return f"\\{names[name]}" if name in names else name


def instances(unit: Unit) -> list[Item]:
    """Return the cells of a module that are modules."""
    return [item for item in unit.items if item.kind == "cell" and item.words[1].startswith("\\")]
