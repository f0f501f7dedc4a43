"""Performance counters against the rules of docs/timing.md in plain Python, over random activities."""

import numpy as np
import pytest

from hanok.isa import Unit
from hanok.rtl.counters import PerformanceCounters
from hanok.rtl.register_map import CAUSES, COUNTERS
from hanok.rtl.simulate import Simulation

BITS = ("active", "moves", "stalled", "empty")


def random_activity(random: np.random.Generator, cycles: int) -> dict[str, np.ndarray]:
    """For each bit of each unit [cycle, unit]."""
    likely = dict(zip(BITS, random.uniform(0.1, 0.9, len(BITS)), strict=True))
    found = {name: random.random((cycles, len(Unit))) < likely[name] for name in BITS}
    found["missing"] = random.integers(0, 1 << len(Unit), (cycles, len(Unit)))
    return found


def expected_causes(activity: dict[str, np.ndarray], starved: np.ndarray, unit: int) -> dict[str, int]:
    """Charge each cycle; an empty queue is charged when the next instruction is seen, or at the end."""
    found, waiting = dict.fromkeys(CAUSES, 0), {"fetch": 0, "dispatch": 0}
    for cycle in range(len(starved)):
        now = {name: int(values[cycle, unit]) for name, values in activity.items()}
        if not now["empty"]:
            found = {cause: count + waiting.get(cause, 0) for cause, count in found.items()}
            waiting = dict.fromkeys(waiting, 0)
        if now["active"]:
            found["busy" if now["moves"] else "dram"] += 1
        elif now["stalled"]:
            found["full_counter"] += 1
        elif now["empty"]:
            waiting["fetch" if starved[cycle] else "dispatch"] += 1
        elif now["missing"]:
            first = next(source for source in Unit if now["missing"] >> source & 1)
            found[f"wait_{first.name.lower()}"] += 1
    found["end"] += sum(waiting.values())
    return found


@pytest.mark.parametrize("seed", range(8))
def test_each_cycle_of_each_unit_has_the_cause_that_the_rules_say(seed: int) -> None:
    random, cycles = np.random.default_rng(seed), 400
    activity, starved = random_activity(random, cycles), random.random(cycles) < 0.5
    sizes = {name: random.integers(0, 1 << 16, cycles) for name in COUNTERS[1:4]}
    words = np.zeros((cycles, 1), np.uint64)
    for unit in Unit:
        for bit, name in enumerate((*BITS, "missing")):
            shift = np.uint64(8 * int(unit) + bit)
            words[:, 0] |= activity[name][:, int(unit)].astype(np.uint64) << shift
    design = Simulation(PerformanceCounters())
    empty = sum(1 << 8 * int(unit) + BITS.index("empty") for unit in Unit)
    for _ in range(2):
        design.step(clear=1, counts=0, finished=0)
        design.set(clear=0, counts=1)
        design.run(cycles, {"units": words, "starved": starved.astype(int), **sizes}, [])
        design.step(counts=0, finished=1, units=empty)
        design.step(finished=0)
        design.step()
        whole = design.get("counters")
        found = {name: whole >> 64 * number & (1 << 64) - 1 for number, name in enumerate(COUNTERS)}
        assert found["cycles"] == cycles
        assert {name: found[name] for name in sizes} == {
            name: int(sum(values)) for name, values in sizes.items()
        }
        for unit in Unit:
            expected = expected_causes(activity, starved, int(unit))
            assert {cause: found[f"{unit.name.lower()}_{cause}"] for cause in CAUSES} == expected
