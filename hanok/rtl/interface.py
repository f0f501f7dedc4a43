"""The ports of a core as its surroundings see them: AXI names, directions, bits."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.lib import wiring

from hanok.rtl.build import ports_of


@dataclass(frozen=True)
class Bus:
    """An AXI interface: the member of the core, its prefix in Verilog, its kind and what it does."""

    member: str
    prefix: str
    is_master: bool
    is_lite: bool
    meaning: str


BUSES = (
    Bus("bus", "s_axi_control", False, True, "control and status registers"),
    Bus("fetch", "m_axi_fetch", True, False, "reads code"),
    Bus("load", "m_axi_load", True, False, "reads weights and activations"),
    Bus("store", "m_axi_store", True, False, "writes results"),
)
CLOCK, RESET, INTERRUPT = "clk", "rst", "irq"
_LONE_NAMES = {"interrupt": INTERRUPT}


@dataclass(frozen=True)
class CorePort:
    """A port of the core in Verilog; `signal` is its name in AXI (`ARADDR`), where it belongs to a bus."""

    member: str
    """Its name in Amaranth, `outer__inner`."""
    name: str
    bits: int
    is_input: bool
    bus: Bus | None = None
    signal: str = ""


@dataclass(frozen=True)
class Interface:
    """All ports of a core, clock and reset first, and the buses that it has."""

    ports: tuple[CorePort, ...]
    buses: tuple[Bus, ...]

    def of_bus(self, bus: Bus) -> tuple[CorePort, ...]:
        return tuple(port for port in self.ports if port.bus == bus)

    def bits(self, bus: Bus, signal: str) -> int:
        """Bits of a signal of a bus; 0 if it has none of this name."""
        return next((port.bits for port in self.of_bus(bus) if port.signal == signal), 0)

    @property
    def verilog_names(self) -> dict[str, str]:
        """Name in Amaranth -> name in Verilog."""
        return {port.member: port.name for port in self.ports}


def interface_of(core: wiring.Component) -> Interface:
    """Return the ports of a core, by its signature; what is no bus keeps its name or gets a usual one."""
    by_member = {bus.member: bus for bus in BUSES}
    found = [CorePort(CLOCK, CLOCK, 1, True), CorePort(RESET, RESET, 1, True)]
    for port in ports_of(core):
        member, _, signal = port.name.partition("__")
        bus = by_member.get(member) if signal else None
        name = f"{bus.prefix}_{signal}" if bus else _LONE_NAMES.get(port.name, port.name)
        found.append(CorePort(port.name, name, port.bits, port.is_input, bus, signal.upper() if bus else ""))
    used = {port.bus for port in found}
    return Interface(tuple(found), tuple(bus for bus in BUSES if bus in used))
