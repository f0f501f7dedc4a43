"""Queues, fronts and semaphores together, cycle by cycle, against the rules of docs/timing.md in Python."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from amaranth.lib import data
from control_model import UNITS, DispatchModel, Work

from hanok.isa import Unit
from hanok.machine import Control
from hanok.rtl.decode import HEAD
from hanok.rtl.dispatch import Dispatch
from hanok.rtl.simulate import Simulation

TAG_BITS = 16
RECORD = data.StructLayout({"head": HEAD, "tag": TAG_BITS})
NARROW = data.StructLayout(
    {"unit": range(len(Unit)), "records": data.StructLayout({unit.name.lower(): RECORD for unit in Unit})}
)
"""Records of a header and a number, which elaborate quickly."""


def random_work(random: np.random.Generator, count: int, most: int) -> list[Work]:
    """Instructions that wait only for posts of earlier ones, their own unit's among them."""
    available = {(source, target): 0 for source in UNITS for target in UNITS}
    post_rate, take_rate = [(0.3, 0.9), (0.15, 1.0), (0.5, 0.3)][random.integers(3)]
    found = []
    for unit in random.choice(np.array(UNITS), count):
        unit, wait, post = Unit(unit), 0, 0
        for other in UNITS:
            if available[other, unit] and random.random() < take_rate:
                wait |= 1 << other
                available[other, unit] -= 1
        for other in UNITS:
            if random.random() < post_rate:
                post |= 1 << other
                available[unit, other] += 1
        found.append(Work(unit, wait, post, int(random.integers(1, most + 1))))
    return found


def payload(number: int, work: Work) -> int:
    """The instruction for its unit, and something else in the records of the others."""
    record = 1 | work.wait << 8 | work.post << 16 | number << HEAD.size
    records = sum((record if unit == work.unit else 0x5A5A5A5A5A5A) << unit * RECORD.size for unit in UNITS)
    return int(work.unit) | records << 2


class Bench:
    """The design and the model side by side, with units that take the cycles that each instruction says."""

    def __init__(self, design: Simulation, model: DispatchModel, work: list[Work], seed: int) -> None:
        self.design, self.model, self.work = design, model, work
        self.random = np.random.default_rng(seed)
        self.ends: dict[Unit, deque[int]] = {unit: deque() for unit in UNITS}
        self.begun: dict[Unit, list[int]] = {unit: [] for unit in UNITS}
        self.next, self.quiet = 0, 0
        design.step(clear=1, decoded__valid=0)
        design.set(clear=0)

    def cycle(self, offer_rate: float, ready_rate: float) -> None:
        """One cycle of both; all outputs are compared."""
        now, model, design = self.model.cycle, self.model, self.design
        offers = self.next < len(self.work) and self.random.random() < offer_rate
        ready = {unit: bool(self.random.random() < ready_rate) for unit in UNITS}
        inputs = {"decoded__valid": int(offers)}
        if offers:
            inputs["decoded__payload"] = payload(self.next, self.work[self.next])
        for unit in UNITS:
            done = bool(self.ends[unit]) and self.ends[unit][0] == now
            if done:
                self.ends[unit].popleft()
            inputs |= {
                f"{unit.name.lower()}__ready": int(ready[unit]),
                f"{unit.name.lower()}__done": int(done),
            }
        offered = self.work[self.next] if offers else None
        dispatched, started = model.step(offered, ready)
        design.step(**inputs)
        if offers:
            assert design.get("decoded__ready") == dispatched
        for unit in UNITS:
            assert design.get(f"{unit.name.lower()}__start") == (unit in started), (now, unit)
            if unit in started:
                number = design.get(f"{unit.name.lower()}__record") >> HEAD.size
                assert self.work[number] is started[unit]
                self.begun[unit].append(number)
                self.ends[unit].append(model.last_end[unit])
        self.compare_states()
        self.next += dispatched
        self.quiet = 0 if dispatched or started or any(self.ends.values()) else self.quiet + 1

    def compare_states(self) -> None:
        model, design = self.model, self.design
        expected = {
            "stalled": sum(model.stalled_now[unit] << unit for unit in UNITS),
            "empty": sum((not model.heads_now[unit]) << unit for unit in UNITS),
            "missing": sum(model.missing_now[unit] << len(Unit) * unit for unit in UNITS),
            "active": sum(bool(self.ends[unit]) << unit for unit in UNITS),
        }
        assert {name: design.get(name) for name in expected} == expected

    def run(self, offer_rate: float, ready_rate: float) -> None:
        while self.quiet < 300:
            self.cycle(offer_rate, ready_rate)


SHAPES = [(1, 1, 1), (1, 2, 3), (2, 255, 4), (5, 3, 2), (7, 8, 16), (64, 255, 9)]
"""Queue depth, semaphore limit, instructions in flight."""


def dispatch(depth: int, limit: int, in_flight: int) -> Simulation:
    control = Control(queue_depth=depth, semaphore_limit=limit)
    return Simulation(Dispatch(control, dict.fromkeys(Unit, in_flight), NARROW))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_start_and_state_is_in_the_cycle_of_the_rules(shape: tuple[int, int, int]) -> None:
    design, finished, started = dispatch(*shape), 0, 0
    for seed in range(12):
        random = np.random.default_rng(seed)
        work = random_work(random, 120, int(random.choice([1, 3, 30])))
        bench = Bench(design, DispatchModel(*shape), work, seed)
        bench.run(*[(1.0, 1.0), (0.5, 0.5), (1.0, 0.2)][seed % 3])
        started += sum(map(len, bench.begun.values()))
        for unit, numbers in bench.begun.items():
            mine = [number for number, one in enumerate(work[: bench.next]) if one.unit == unit]
            assert numbers == mine[: len(numbers)]
        finished += bench.next == len(work) and not any(bench.model.queues.values())
        assert bench.design.get("idle") == (
            not any(bench.model.queues.values()) and not any(bench.model.owed.values())
        )
    assert started > 200
    assert shape[1] < 20 or finished == 12, "with high limits nothing blocks these programs"


def test_dispatch_and_start_of_one_instruction() -> None:
    """Start three cycles after dispatch; the one who waits starts in the cycle after `done`."""
    design = dispatch(2, 255, 4)
    first = Work(Unit.LOAD, 0, 1 << Unit.MATRIX, 1)
    second = Work(Unit.MATRIX, 1 << Unit.LOAD, 0, 1)
    ready = {f"{unit.name.lower()}__ready": 1 for unit in UNITS}
    design.step(decoded__valid=1, decoded__payload=payload(0, first), **ready)
    design.step(decoded__payload=payload(1, second))
    design.step(decoded__valid=0)
    assert not design.get("load__start")
    design.step()
    assert design.get("load__start")
    for _ in range(5):
        design.step()
        assert not design.get("matrix__start")
        assert design.get("missing") == 1 << Unit.LOAD + len(Unit) * Unit.MATRIX or design.cycle < 5
    design.step(load__done=1)
    assert not design.get("matrix__start")
    assert not design.get("active") >> Unit.LOAD & 1
    design.step(load__done=0)
    assert design.get("matrix__start")


def test_clear_forgets_everything() -> None:
    shape = 5, 3, 2
    design, random = dispatch(*shape), np.random.default_rng(3)
    for cycles in (1, 3, 10, 40):
        bench = Bench(design, DispatchModel(*shape), random_work(random, 60, 30), cycles)
        for _ in range(cycles):
            bench.cycle(1.0, 1.0)
    design.step(clear=1, decoded__valid=0)
    design.step(clear=0)
    assert design.get("idle")
