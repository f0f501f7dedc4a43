"""Fetch, decode, dispatch, load, store and counters in gates against the stepped model, start by start.

The memory answers when the model's does, and the matrix and vector units are ready and done when the model's
are; everything else is made by the gates.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from engine_programs import crowded_program, opcodes_of, random_program, small_chip
from stepped_dma import FETCH_PORT, LOAD_PORT, Request
from stepped_model import SteppedModel

from hanok.isa import Opcode, Unit
from hanok.machine import Chip
from hanok.rtl.counters import PerformanceCounters
from hanok.rtl.decode import Decoder
from hanok.rtl.dispatch import Dispatch
from hanok.rtl.fetch import Fetcher
from hanok.rtl.load import LoadEngine
from hanok.rtl.register_map import CAUSES, COUNTERS
from hanok.rtl.simulate import Simulation
from hanok.rtl.store import StoreEngine
from hanok.simulator.counters import Cause

ADDRESS_BITS, SRAM_BYTES = 24, 1 << 16
CHIPS: tuple[dict[str, Any], ...] = (
    {"standard": "LPDDR5_6400", "queue_depth": 1, "semaphore_limit": 2, "outstanding": 3},
    {"standard": "HBM2_2000", "channels": 2, "clock_mhz": 333, "bytes_per_cycle": 7, "latency_cycles": 0},
    {"standard": "FLAT:64000", "queue_depth": 2, "semaphore_limit": 4, "bytes_per_cycle": 32},
    {"standard": "LPDDR5_6400", "channels": 2, "outstanding": 12, "bytes_per_cycle": 100},
    {"standard": "LPDDR5_6400", "outstanding": 2, "bytes_per_cycle": 4, "int4": True},
    {"standard": "HBM2_2000", "bytes_per_cycle": 16, "int4": True},
)


class Gates(wiring.Component):
    """The core without matrix and vector unit; buses take everything at once."""

    def __init__(self, chip: Chip, burst_bytes: int) -> None:
        self.fetcher = Fetcher(burst_bytes, chip.core.control.fetch_buffer_bytes, ADDRESS_BITS)
        self.decoder = Decoder()
        self.dispatch = Dispatch(chip.core.control, dict.fromkeys(Unit, chip.core.dma.outstanding + 4))
        columns = chip.core.matrix.columns
        self.load = LoadEngine(chip.core.dma, burst_bytes, ADDRESS_BITS, SRAM_BYTES, columns)
        self.store = StoreEngine(chip.core.dma, burst_bytes, ADDRESS_BITS, SRAM_BYTES)
        self.counters = PerformanceCounters()
        inputs = {"start": 1, "code_address": ADDRESS_BITS, "code_bytes": 32, "counts": 1, "finished": 1}
        inputs |= {"fetched": 1, "burst": 8 * burst_bytes, "loaded": 1, "slot": 8, "stored": 1}
        inputs |= {"ready": len(Unit), "done": len(Unit), "moves": len(Unit)}
        super().__init__(
            {name: In(bits) for name, bits in inputs.items()}
            | {"starts": Out(len(Unit)), "idle": Out(1), "causes": Out(self.counters.counters.shape().size)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        parts = ("fetcher", "decoder", "dispatch", "load", "store", "counters")
        for name in parts:
            m.submodules[name] = getattr(self, name)
        fetcher, decoder, dispatch, load, store = (getattr(self, name) for name in parts[:-1])
        wiring.connect(m, fetcher.words, decoder.words)
        wiring.connect(m, decoder.decoded, dispatch.decoded)
        m.d.comb += [
            fetcher.start.eq(self.start),
            fetcher.code_address.eq(self.code_address),
            fetcher.code_bytes.eq(self.code_bytes),
            fetcher.dispatched_bytes.eq(decoder.dispatched_bytes),
            fetcher.request.ready.eq(1),
            fetcher.answer.valid.eq(self.fetched),
            fetcher.answer.payload.data.eq(self.burst),
            load.bus.arready.eq(1),
            load.bus.rvalid.eq(self.loaded),
            load.bus.rid.eq(self.slot),
            store.bus.awready.eq(1),
            store.bus.wready.eq(1),
            store.bus.bvalid.eq(self.stored),
            self.idle.eq(fetcher.exhausted & ~decoder.busy & dispatch.idle),
        ]
        for unit, engine in ((Unit.LOAD, load), (Unit.STORE, store)):
            port = getattr(dispatch, unit.name.lower())
            m.d.comb += [engine.record.eq(port.record), engine.start.eq(port.start)]
            m.d.comb += [port.ready.eq(engine.ready), port.done.eq(engine.done)]
        self._count(m)
        return m

    def _count(self, m: Module) -> None:
        dispatch, counters = self.dispatch, self.counters
        m.d.comb += [
            counters.clear.eq(self.start),
            counters.counts.eq(self.counts),
            counters.finished.eq(self.finished),
            counters.starved.eq(self.decoder.starved),
            self.causes.eq(counters.counters.as_value()),
        ]
        for unit in Unit:
            port, activity = getattr(dispatch, unit.name.lower()), counters.units[int(unit)]
            if unit in (Unit.MATRIX, Unit.VECTOR):
                m.d.comb += [port.ready.eq(self.ready[int(unit)]), port.done.eq(self.done[int(unit)])]
            m.d.comb += [
                self.starts[int(unit)].eq(port.start),
                activity.moves.eq(self.moves[int(unit)]),
                activity.missing.eq(dispatch.missing[int(unit)]),
            ]
            for name in ("active", "stalled", "empty"):
                m.d.comb += getattr(activity, name).eq(getattr(dispatch, name)[int(unit)])


class Recorded(SteppedModel):
    """Notes what the gates are to be told."""

    def __init__(self, code: bytes, chip: Chip, code_address: int) -> None:
        super().__init__(code, chip, code_address)
        self.ready_at: list[list[bool]] = [[] for _ in Unit]
        self.moves_at: list[list[bool]] = [[] for _ in Unit]
        self.requests: dict[int, list[Request]] = {port: [] for port in range(3)}
        send = self.memory.send

        def note(port: int, numbers: list[int], kind: int, on_bus: int) -> Request:
            self.requests[port].append(send(port, numbers, kind, on_bus))
            return self.requests[port][-1]

        self.memory.send = note  # type: ignore[method-assign]

    def step_start(self, unit: Unit) -> None:
        self.ready_at[unit].append(self.is_ready(unit))
        super().step_start(unit)

    def charge(self, unit: Unit, waits: Unit | None, is_empty: bool) -> None:
        moves = {Unit.LOAD: self.load.moves, Unit.STORE: self.store.moves}
        self.moves_at[unit].append(moves.get(unit, True))
        super().charge(unit, waits, is_empty)


def inputs_of(model: Recorded, ring: int) -> dict[str, Any]:
    """What comes from outside in each cycle, the first of which is that of the start."""
    cycles, burst = model.total + 4, model.burst_bytes
    names = ("start", "counts", "finished", "fetched", "loaded", "slot", "stored", "ready", "done", "moves")
    found = {name: np.zeros(cycles, np.int64) for name in names}
    found["start"][0] = found["finished"][model.total + 1] = 1
    found["counts"][1 : model.total + 1] = 1
    for unit in Unit:
        for name, values in (("ready", model.ready_at), ("moves", model.moves_at)):
            found[name][1 : model.total + 1] |= np.array(values[unit], np.int64) << int(unit)
    for index, end in enumerate(model.end):
        found["done"][end + 1] |= 1 << int(model.decoded.unit[index])
    for order, request in enumerate(model.requests[LOAD_PORT]):
        assert not found["loaded"][request.arrival + 1]
        found["loaded"][request.arrival + 1], found["slot"][request.arrival + 1] = 1, order % ring
    found["stored"][np.array(model.store.accepted, int) + 1] = 1
    content = bytes(model.code_address % burst) + model.code + bytes(burst)
    bursts = np.zeros((cycles, burst // 8), np.uint64)
    first, last = model.code_address // burst, -1
    for request in model.requests[FETCH_PORT]:
        last = max(model.memory.read_answer(request), last + 1)
        place = (request.numbers[0] - first) * burst
        bursts[last + 1] = np.frombuffer(content[place : place + burst], np.uint64)
        found["fetched"][last + 1] = 1
    return {**found, "burst": bursts}


def check(design: Simulation, code: bytes, chip: Chip, address: int) -> bool:
    """Run both; return whether the program has an end."""
    model = Recorded(code, chip, address)
    if not model.run():
        return False
    inputs = inputs_of(model, 1 << max(2, model.load.slots.bit_length()))
    design.reset()
    design.set(code_address=address, code_bytes=len(code))
    found = design.run(model.total + 4, inputs, ["starts", "idle", "causes"])
    starts = np.zeros(model.total + 4, np.int64)
    for index, start in enumerate(model.start):
        starts[start + 1] |= 1 << int(model.decoded.unit[index])
    np.testing.assert_array_equal(found["starts"], starts)
    assert np.flatnonzero(found["idle"][1:])[0] == model.total
    counters = dict(zip(COUNTERS, found["causes"][-1].tolist(), strict=True))
    assert counters["cycles"] == model.total
    for unit in Unit:
        charged = {cause: counters[f"{unit.name.lower()}_{cause}"] for cause in CAUSES}
        assert charged == {Cause(place).name.lower(): model.charged[unit, place] for place in Cause}
    return True


@pytest.mark.slow
@pytest.mark.parametrize("changes", CHIPS)
def test_gates_take_the_cycles_of_the_model(changes: dict[str, Any]) -> None:
    chip = small_chip(**{"expand_lanes": 0, **changes})
    assert tuple(cause.name.lower() for cause in Cause) == CAUSES
    opcodes = tuple(opcode for opcode in opcodes_of(chip) if opcode != Opcode.EXPAND)
    design = Simulation(Gates(chip, SteppedModel(b"", chip).burst_bytes))
    ended = 0
    for seed in range(30):
        rng = random.Random(seed)
        limit = chip.core.control.semaphore_limit
        if seed % 3 == 0:
            code = crowded_program(rng, limit, opcodes)
        else:
            code = random_program(rng, rng.choice([1, 20, 60]), opcodes)
        ended += check(design, code, chip, rng.choice([0, 64, 4160, 4172]))
    assert ended > 10
