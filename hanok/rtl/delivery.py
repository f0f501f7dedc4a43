"""A core as files that a customer takes over: Verilog, registers, IP-XACT, constraints, a test."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from amaranth.lib import wiring

from hanok.isa.faults import Fault
from hanok.isa.table import Unit
from hanok.machine import Chip
from hanok.rtl.constraints import constraints
from hanok.rtl.delivery_readme import readme
from hanok.rtl.interface import interface_of
from hanok.rtl.ip_xact import ip_xact
from hanok.rtl.register_map import (
    ADDRESS_BITS,
    CAUSES,
    COUNTERS,
    FIRST_COUNTER,
    REGISTERS,
    WORD_BYTES,
)
from hanok.rtl.register_views import COUNTER_BYTES, c_header, register_markdown
from hanok.rtl.verilog import write_verilog

BENCH = ("axi_models.py", "run.py", "test_core.py")
LINT = """\
`verilator_config
// Operators keep the carry that a sum can have, and records are handed over whole: README.md, Lint.
lint_off -rule UNUSEDSIGNAL -file "*/rtl/*.v"
lint_off -rule UNUSEDSIGNAL -file "rtl/*.v"
"""
MAKEFILE = """\
SIM ?= verilator
PYTHON ?= python3

.PHONY: lint test clean
lint:
\t$(PYTHON) test/run.py lint
test:
\t$(PYTHON) test/run.py $(SIM)
clean:
\trm -rf build test/__pycache__ test/results.xml
"""
REQUIREMENTS = "cocotb>=2.0,<3\n"
CHIP_FILE, SOURCES = "chip.json", "rtl"
"""What the core was made from, and the folder of its Verilog."""


@dataclass(frozen=True)
class TestProgram:
    """Memory before and after a program, and where its code and code that must be refused lie."""

    memory: bytes
    expected: bytes
    facts: Mapping[str, Mapping[str, int]]
    """`program` and `illegal`, each with code_address and code_bytes; the latter with fault_offset."""


def top_name(chip: Chip) -> str:
    """Return the name of a chip's core in Verilog."""
    return "hanok_" + re.sub(r"\W+", "_", chip.name.lower()).strip("_")


def deliver(
    core: wiring.Component, chip: Chip, program: TestProgram, version: str, licence: str
) -> dict[str, bytes]:
    """Return the files of a core, by their path; the same core gives the same bytes.

    `core` has the members that `interface.py` names. `licence` is the text that goes along.
    """
    interface, top = interface_of(core), top_name(chip)
    texts = core_sources(core, chip, version)
    sources = [*texts]
    companions = ["README.md", f"constraints/{top}.sdc", "include/hanok_registers.h", "docs/registers.md"]
    texts |= {
        "README.md": readme(chip, top, version, interface, len(sources)),
        "LICENSE": licence,
        "Makefile": MAKEFILE,
        "requirements.txt": REQUIREMENTS,
        CHIP_FILE: chip.model_dump_json(indent=1) + "\n",
        "files.f": "".join(f"{path}\n" for path in sources),
        "lint.vlt": LINT,
        f"{top}.xml": ip_xact(chip, top, version, interface, sources, companions),
        f"constraints/{top}.sdc": constraints(chip, interface),
        "include/hanok_registers.h": c_header(_header(chip, version)),
        "docs/registers.md": register_markdown(),
        "test/acceptance.json": json.dumps(_facts(top, program), indent=1) + "\n",
    }
    bench = resources.files("hanok.rtl") / "bench"
    texts |= {f"test/{name}": (bench / name).read_text(encoding="utf-8") for name in BENCH}
    files = {path: text.encode("utf-8") for path, text in texts.items()}
    return files | {"test/memory.bin": program.memory, "test/expected.bin": program.expected}


def core_sources(core: wiring.Component, chip: Chip, version: str) -> dict[str, str]:
    """Return a core's Verilog by path, in the order in which its modules are read."""
    names = interface_of(core).verilog_names
    modules = write_verilog(core, top_name(chip), names, _header(chip, version)).modules
    return {f"{SOURCES}/{name}.v": text for name, text in modules.items()}


def _header(chip: Chip, version: str) -> str:
    return f"Core of chip '{chip.name}', made by hanok {version}.\nSPDX-License-Identifier: Apache-2.0"


def _facts(top: str, program: TestProgram) -> dict[str, Any]:
    """What the acceptance test knows of the core."""
    plain = [register for register in REGISTERS if register.offset < FIRST_COUNTER]
    counters = {name: FIRST_COUNTER + COUNTER_BYTES * number for number, name in enumerate(COUNTERS)}
    behind = plain[-1].offset + WORD_BYTES
    last = (1 << ADDRESS_BITS) - WORD_BYTES
    return {
        "top": top,
        "registers": {register.name: register.offset for register in plain},
        "reset_values": {register.name: register.reset for register in plain},
        "unused_offsets": [behind, *([last] if last > REGISTERS[-1].offset else [])],
        "counters": counters,
        "units": [unit.name.lower() for unit in Unit],
        "cycle_causes": list(CAUSES),
        "causes": {fault.name.lower(): int(fault) for fault in Fault},
        **program.facts,
    }
