"""Fetcher, decoder and dispatch in one: code in memory becomes the records that the units start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from test_decode import any_rows

from hanok.isa import Opcode, Unit, decode, encode_stream
from hanok.isa.table import BY_OPCODE
from hanok.machine import Control
from hanok.rtl.decode import Decoder
from hanok.rtl.dispatch import Dispatch
from hanok.rtl.fetch import Fetcher
from hanok.rtl.simulate import Simulation

BURST = 32


class Whole(wiring.Component):
    """The three, with units that are ready and done at once."""

    def __init__(self) -> None:
        self.fetcher, self.decoder = Fetcher(BURST, 512, address_bits=32), Decoder()
        self.dispatch = Dispatch(Control(queue_depth=3, semaphore_limit=255), dict.fromkeys(Unit, 2))
        fetcher = self.fetcher.signature.members
        names = "start", "stop", "code_address", "code_bytes", "request", "answer", "busy"
        records = {
            f"{unit.name.lower()}_{name}": member
            for unit in Unit
            for name, member in getattr(self.dispatch, unit.name.lower()).signature.members.items()
        }
        super().__init__({name: fetcher[name] for name in names} | records | {"idle": Out(1), "clear": In(1)})
        self.forwarded, self.records = names, records

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fetcher = fetcher = self.fetcher
        m.submodules.decoder = decoder = self.decoder
        m.submodules.dispatch = dispatch = self.dispatch
        for name in ("request", "answer"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(fetcher, name))
        for name in ("start", "stop", "code_address", "code_bytes"):
            m.d.comb += getattr(fetcher, name).eq(getattr(self, name))
        wiring.connect(m, fetcher.words, decoder.words)
        wiring.connect(m, decoder.decoded, dispatch.decoded)
        m.d.comb += [
            fetcher.dispatched_bytes.eq(decoder.dispatched_bytes),
            decoder.clear.eq(self.clear),
            dispatch.clear.eq(self.clear),
            self.busy.eq(fetcher.busy),
            self.idle.eq(fetcher.exhausted & ~decoder.busy & dispatch.idle),
        ]
        for name, member in self.records.items():
            unit, _, port = name.partition("_")
            inner, outer = getattr(getattr(dispatch, unit), port), getattr(self, name)
            m.d.comb += outer.eq(inner) if member.flow == wiring.Out else inner.eq(outer)
        return m


@pytest.mark.slow
def test_code_becomes_records_and_starts() -> None:
    design = Simulation(Whole())
    for seed in range(10):
        random = np.random.default_rng(seed)
        rows = [(opcode, {**values, "wait": 0, "post": 0}) for opcode, values in any_rows(random, 60)]
        code, address = encode_stream(rows), 4 * int(random.integers(0, 1000))
        memory = bytes(address % BURST) + code + bytes(2 * BURST)
        design.step(clear=1, start=1, code_address=address, code_bytes=len(code), request__ready=1)
        design.set(clear=0, start=0)
        pending, started = [], {unit: [] for unit in Unit}
        inputs = {f"{unit.name.lower()}_done": 0 for unit in Unit}
        for _ in range(4000):
            if pending and random.random() < 0.5:
                first = pending.pop(0) - address // BURST * BURST
                inputs["answer__payload"] = int.from_bytes(memory[first : first + BURST], "little")
                inputs["answer__valid"] = 1
            ready = {f"{unit.name.lower()}_ready": int(random.random() < 0.2) for unit in Unit}
            design.step(**inputs, **ready)
            inputs = {"answer__valid": 0}
            if design.get("request__valid"):
                pending.append(design.get("request__payload"))
            for unit in Unit:
                name = unit.name.lower()
                inputs[f"{name}_done"] = design.get(f"{name}_start")
                if design.get(f"{name}_start"):
                    started[unit].append(design.get(f"{name}_record").to_bytes(256, "little"))
            if design.get("idle"):
                break
        assert design.get("idle")
        decoded = decode(code)
        for unit in Unit:
            numbers = np.flatnonzero(decoded.unit == unit)
            assert len(numbers) == len(started[unit])
            for number, found in zip(numbers, started[unit], strict=True):
                record = decoded.record(int(number)).tobytes()
                used = sum(field.size_bytes for field in BY_OPCODE[Opcode(record[0])].format.fields)
                assert found[:used] == record[:used]
