"""A component as Verilog: plain names, a file a module, the same bytes each time."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from hanok.rtl._rtlil import Unit, parse
from hanok.rtl._rtlil_names import instances, local_names, order_wires, plain, rename
from hanok.rtl._rtlil_tidy import tidy
from hanok.rtl.yosys import run_yosys

_SCRIPT = (
    "read_rtlil design.il; hierarchy -check -top {top}; proc -noopt -nomux -norom; memory_collect; "
    "write_verilog -noattr design.v"
)
_TRIGGER = re.compile(r"\\\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+ ")


@dataclass(frozen=True)
class Verilog:
    """Modules by name, those that others instantiate first, the top last."""

    top: str
    modules: dict[str, str]


def write_verilog(
    component: wiring.Component, top: str, ports: Mapping[str, str] | None = None, header: str = ""
) -> Verilog:
    """Translate a component, with `clk` and a synchronous `rst`, to Verilog-2005.

    `ports` gives names to ports of the component, by the name that they have in Amaranth (`outer__inner`).
    `header` goes before each module, as comments. Registers have no initial values: the reset gives those
    that matter. Modules that are equal are written once.
    """
    units = _units(component, top, ports or {})
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "design.il").write_text("\n".join(unit.text() for unit in units), encoding="utf-8")
        run_yosys(_SCRIPT.format(top=top), work)
        text = (work / "design.v").read_text(encoding="utf-8")
    found = {
        match.group(1): match.group()
        for match in re.finditer(r"^module (\w+)\b.*?^endmodule\n", text, re.MULTILINE | re.DOTALL)
    }
    comment = "".join(f"// {line}\n" for line in header.splitlines())
    names = [unit.name.removeprefix("\\") for unit in units]
    assert set(found) == set(names), "each module is written, under its name"
    return Verilog(top, {name: comment + _whole_cases(_TRIGGER.sub("settle", found[name])) for name in names})


def _whole_cases(text: str) -> str:
    """Give each case statement that has no default an empty one."""
    lines: list[str] = []
    has_default: list[bool] = []
    for line in text.splitlines():
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if word == "casez":
            has_default.append(False)
        elif word == "default:":
            has_default[-1] = True
        elif word == "endcase" and not has_default.pop():
            lines.append(line.replace("endcase", "  default: ;"))
        lines.append(line)
    return "\n".join(lines) + "\n"


def _units(component: wiring.Component, top: str, ports: Mapping[str, str]) -> list[Unit]:
    """The modules of a component as RTLIL, tidy, each once, those that others instantiate first."""
    units = parse(rtlil.convert(component, name=top, emit_src=False))
    by_name = {unit.name: unit for unit in units}
    ordered: list[Unit] = []
    renamed: dict[str, dict[str, str]] = {}
    once: dict[str, str] = {}

    def visit(unit: Unit) -> None:
        for cell in instances(unit):
            if cell.words[1] not in renamed:
                visit(by_name[cell.words[1]])
        tidy(unit)
        old = unit.name
        given = ports if old == f"\\{top}" else {}
        order_wires(unit, [*given] or ["clk", "rst"])
        names = local_names(unit, given)
        rename(unit, names, renamed)
        renamed[old] = names
        for cell in instances(unit):
            cell.lines[0] = cell.lines[0].replace(f" {cell.words[1]} ", f" {types[cell.words[1]]} ", 1)
        unit.name = "\\m"
        types[old] = once.setdefault(unit.text(), f"\\{plain(old)}")
        unit.name = types[old]
        if unit.name == f"\\{plain(old)}":
            ordered.append(unit)

    types: dict[str, str] = {}
    visit(by_name[f"\\{top}"])
    return ordered
