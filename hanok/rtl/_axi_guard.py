"""Between an AXI master and its bus: lets a core stop between transactions, and tells when none is open."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hanok.rtl.axi import axi_read, axi_write


class ReadGuard(wiring.Component):
    """Passes everything on in the same cycle; while `holds` is 1, no address that was not on the bus before.

    `idle`: no read is open. `most` is the largest number of open reads.
    """

    def __init__(self, address_bits: int, data_bytes: int, id_bits: int, most: int) -> None:
        signature = axi_read(address_bits, data_bytes, id_bits)
        super().__init__({"master": In(signature), "bus": Out(signature), "holds": In(1), "idle": Out(1)})
        self.most = most

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        connect_through(m, self.master, self.bus)
        bus = self.bus
        shown, passes, is_open = Signal(), Signal(), Signal(range(self.most + 1))
        m.d.comb += [
            passes.eq(~self.holds | shown),
            bus.arvalid.eq(self.master.arvalid & passes),
            self.master.arready.eq(bus.arready & passes),
            self.idle.eq(~is_open.any() & ~shown),
        ]
        m.d.sync += shown.eq(bus.arvalid & ~bus.arready)
        opens, closes = bus.arvalid & bus.arready, bus.rvalid & bus.rready & bus.rlast
        with m.If(opens != closes):
            m.d.sync += is_open.eq(is_open + Mux(opens, 1, -1))
        return m


class WriteGuard(wiring.Component):
    """As `ReadGuard`; an address whose data are on their way still goes, and data whose address is."""

    def __init__(self, address_bits: int, data_bytes: int, most: int) -> None:
        signature = axi_write(address_bits, data_bytes)
        super().__init__({"master": In(signature), "bus": Out(signature), "holds": In(1), "idle": Out(1)})
        self.most = most

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        connect_through(m, self.master, self.bus)
        counts = {name: Signal(range(self.most + 1), name=f"open_{name}") for name in ("aw", "w")}
        shown = {name: Signal(name=f"shown_{name}") for name in counts}
        bus, master = self.bus, self.master
        answered = bus.bvalid & bus.bready
        for name, other in (("aw", "w"), ("w", "aw")):
            valid, ready = getattr(bus, f"{name}valid"), getattr(bus, f"{name}ready")
            passes, behind = Signal(name=f"passes_{name}"), Signal(name=f"behind_{name}")
            goes = valid & ready
            m.d.sync += behind.eq((counts[name] < counts[other] + shown[other]) & ~goes)
            m.d.comb += [
                passes.eq(~self.holds | shown[name] | behind),
                valid.eq(getattr(master, f"{name}valid") & passes),
                getattr(master, f"{name}ready").eq(ready & passes),
            ]
            m.d.sync += shown[name].eq(valid & ~ready)
            with m.If(goes != answered):
                m.d.sync += counts[name].eq(counts[name] + Mux(goes, 1, -1))
        m.d.comb += self.idle.eq(~(counts["aw"].any() | counts["w"].any() | shown["aw"] | shown["w"]))
        return m


def connect_through(m: Module, master: Any, bus: Any) -> None:
    """Connect all members of two AXI interfaces but valid and ready of the channels that a guard decides."""
    decided = {"arvalid", "arready", "awvalid", "awready", "wvalid", "wready"}
    for name, member in bus.signature.members.items():
        if name in decided:
            continue
        source, target = (master, bus) if member.flow == Out else (bus, master)
        m.d.comb += Value.cast(getattr(target, name)).eq(Value.cast(getattr(source, name)))
