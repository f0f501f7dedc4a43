"""Bounded proofs of the AXI handshakes: what was offered stays, as it was, until it is taken (ARM IHI 0022).

The bound of each proof is the argument of `prove`. A planted bug shows that each harness can fail.
"""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hanok.rtl._axi_guard import ReadGuard, WriteGuard
from hanok.rtl.fetch import Fetcher
from hanok.rtl.prove import prove

MOST = 3


def stays(m: Module, valid: Any, ready: Any, payload: Any, claim: Any) -> None:
    """Claim (assert or assume) that an offer which is not taken is the same in the next cycle."""
    held, kept = Signal(), Signal.like(payload)
    m.d.sync += [held.eq(valid & ~ready), kept.eq(payload)]
    m.d.comb += claim(~held | (valid & (payload == kept)))


class ReadHarness(wiring.Component):
    """Any master that keeps the rules, any memory that answers what it was asked, and `holds` at any time.

    The guard keeps the rules on the bus; while it holds it lets no new address through; it is idle exactly
    when no read is open and no address is on the bus.
    """

    def __init__(self, guard: ReadGuard) -> None:
        super().__init__({"valid": In(1), "address": In(4), "ready": In(1), "answers": In(1), "holds": In(1)})
        self.guard = guard

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.guard = guard = self.guard
        master, bus = guard.master, guard.bus
        opened, offered = Signal(4), Signal()
        takes, answers = bus.arvalid & self.ready, self.answers
        m.d.comb += [
            master.arvalid.eq(self.valid),
            master.araddr.eq(self.address),
            master.rready.eq(1),
            bus.arready.eq(self.ready),
            bus.rvalid.eq(answers),
            bus.rlast.eq(1),
            guard.holds.eq(self.holds),
            Assume(~answers | (opened != 0)),
            Assume(~self.valid | (opened != MOST)),
        ]
        m.d.sync += [opened.eq(opened + takes - answers), offered.eq(bus.arvalid & ~self.ready)]
        stays(m, self.valid, master.arready, self.address, Assume)
        stays(m, bus.arvalid, self.ready, bus.araddr, Assert)
        m.d.comb += [
            Assert(~(self.holds & bus.arvalid & ~offered)),
            Assert(guard.idle == ((opened == 0) & ~offered)),
            Assert(~(master.arready & self.valid) | takes),
        ]
        return m


class WriteHarness(wiring.Component):
    """As for reads, with addresses and data that come in any order, at most `MOST` apart.

    When the guard is idle, as many addresses, data and responses have passed. While it holds, no address and
    no data pass that would be the first of their write, unless they were on the bus before.
    """

    def __init__(self, guard: WriteGuard) -> None:
        channels = {"valid": In(2), "payload": In(2), "ready": In(2)}
        super().__init__({**channels, "answers": In(1), "holds": In(1)})
        self.guard = guard

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.guard = guard = self.guard
        master, bus = guard.master, guard.bus
        passed = [Signal(4, name=f"passed_{name}") for name in ("aw", "w")]
        answered = Signal(4)
        m.d.comb += [
            bus.bvalid.eq(self.answers),
            master.bready.eq(1),
            guard.holds.eq(self.holds),
            Assume(~self.answers | ((passed[0] != answered) & (passed[1] != answered))),
        ]
        m.d.sync += answered.eq(answered + self.answers)
        offered = [Signal(name=f"offered_{name}") for name in ("aw", "w")]
        for number, (name, payload) in enumerate((("aw", "awaddr"), ("w", "wstrb"))):
            valid, ready = self.valid[number], self.ready[number]
            shown, taken = getattr(bus, f"{name}valid"), getattr(master, f"{name}ready")
            m.d.comb += [
                getattr(master, f"{name}valid").eq(valid),
                getattr(master, payload).eq(self.payload[number]),
                getattr(bus, f"{name}ready").eq(ready),
                Assume(~valid | (passed[number] - answered < MOST)),
            ]
            m.d.sync += passed[number].eq(passed[number] + (shown & ready))
            m.d.sync += offered[number].eq(shown & ~ready)
            stays(m, valid, taken, self.payload[number], Assume)
            stays(m, shown, ready, getattr(bus, payload), Assert)
            begins = shown & ~offered[number] & (passed[number] == passed[1 - number])
            m.d.comb += Assert(~(self.holds & begins & ~offered[1 - number]))
        quiet = (passed[0] == answered) & (passed[1] == answered) & ~offered[0] & ~offered[1]
        m.d.comb += Assert(guard.idle == quiet)
        return m


class FetchHarness(wiring.Component):
    """The fetcher's requests stay until they are taken, whatever is dispatched meanwhile."""

    def __init__(self, fetcher: Fetcher) -> None:
        super().__init__(
            {
                "start": In(1),
                "length": In(4),
                "ready": In(1),
                "answers": In(1),
                "takes": In(1),
                "moves": In(1),
            }
        )
        self.fetcher = fetcher

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fetcher = fetcher = self.fetcher
        asked, taken, dispatched, begun = Signal(4), Signal(32), Signal(32), Signal()
        asks, takes = fetcher.request.valid & self.ready, fetcher.words.valid & self.takes
        moves = self.moves & (dispatched != taken)
        m.d.comb += [
            fetcher.start.eq(self.start & ~begun),
            fetcher.code_bytes.eq(self.length << 2),
            fetcher.request.ready.eq(self.ready),
            fetcher.answer.valid.eq(self.answers),
            fetcher.words.ready.eq(self.takes),
            fetcher.dispatched_bytes.eq(dispatched),
            Assume(~self.answers | (asked != 0)),
        ]
        m.d.sync += [
            begun.eq(begun | self.start),
            asked.eq(asked + asks - self.answers),
            taken.eq(taken + (takes << 2)),
            dispatched.eq(dispatched + (moves << 2)),
        ]
        stays(m, fetcher.request.valid, self.ready, fetcher.request.payload, Assert)
        m.d.comb += Assert(asked <= fetcher.rows)
        return m


class ForgetfulGuard(ReadGuard):
    """Takes an address off the bus when it is told to hold."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.bus.arvalid.eq(self.master.arvalid & ~self.holds)
        return m


class CarelessGuard(WriteGuard):
    """Says that it is idle while data are without an address."""

    def elaborate(self, platform: Any) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.idle.eq(~self.bus.awvalid)
        return m


@pytest.mark.parametrize(
    ("harness", "cycles"),
    [
        (ReadHarness(ReadGuard(4, 4, 1, MOST)), 16),
        (WriteHarness(WriteGuard(4, 4, MOST)), 11),
        (FetchHarness(Fetcher(burst_bytes=8, buffer_bytes=16, address_bits=8)), 14),
    ],
    ids=["reads", "writes", "fetch"],
)
def test_offers_stay_until_they_are_taken(harness: wiring.Component, cycles: int) -> None:
    verdict = prove(harness, cycles)
    assert verdict.holds, verdict.text


@pytest.mark.parametrize(
    "harness",
    [ReadHarness(ForgetfulGuard(4, 4, 1, MOST)), WriteHarness(CarelessGuard(4, 4, MOST))],
    ids=["reads", "writes"],
)
def test_planted_bugs_are_found(harness: wiring.Component) -> None:
    assert not prove(harness, 10).holds
