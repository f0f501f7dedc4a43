"""Counters of ordered pairs against a dictionary of integers, for any masks in any cycle."""

from __future__ import annotations

import numpy as np
import pytest

from hanok.isa import Unit
from hanok.rtl.semaphores import Semaphores
from hanok.rtl.simulate import Simulation

UNITS = len(Unit)


def unpack(masks: int) -> list[int]:
    return [masks >> UNITS * unit & (1 << UNITS) - 1 for unit in range(UNITS)]


def pack(masks: list[int]) -> int:
    return sum(mask << UNITS * unit for unit, mask in enumerate(masks))


def and_masks(random: np.random.Generator, rate: float) -> list[int]:
    bits = random.random((UNITS, UNITS)) < rate
    return [sum(int(bit) << place for place, bit in enumerate(row)) for row in bits]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100, 255, 65535])
def test_posts_waits_and_takes(limit: int) -> None:
    design, full, lacking = Simulation(Semaphores(limit)), 0, 0
    for seed in range(6):
        random = np.random.default_rng(seed)
        design.step(clear=1, post=0, wait=0, take=0)
        design.set(clear=0)
        counts = {(source, target): 0 for source in range(UNITS) for target in range(UNITS)}
        taken, before = {}, 0
        for cycle in range(900):
            burst = cycle // 300 % 2
            post, wait = and_masks(random, 0.9 - 0.7 * burst), and_masks(random, 0.1 + 0.6 * burst)
            wait = [0 if before >> target & 1 else mask for target, mask in enumerate(wait)]
            posted, missing, take = [0] * UNITS, [0] * UNITS, 0
            room = {pair: count + taken.get(pair, 0) < limit for pair, count in counts.items()}
            taken = {}
            for source, target in counts:
                if post[source] >> target & 1 and room[source, target]:
                    posted[source] |= 1 << target
                    counts[source, target] += 1
            for target in range(UNITS):
                lacks = [source for source in range(UNITS) if not counts[source, target]]
                missing[target] = wait[target] & sum(1 << source for source in lacks)
                if not missing[target] and not before >> target & 1 and random.random() < 0.8:
                    take |= 1 << target
                    for source in range(UNITS):
                        taken[source, target] = wait[target] >> source & 1
                        counts[source, target] -= taken[source, target]
            before = take
            design.step(post=pack(post), wait=pack(wait), take=take)
            assert unpack(design.get("posted")) == posted
            assert unpack(design.get("missing")) == missing
            full, lacking = full + (posted != post), lacking + any(missing)
        design.step(post=0, take=0)
        design.step()
        bits = limit.bit_length()
        whole = design.get("counts")
        found = {pair: whole >> bits * number & (1 << bits) - 1 for number, pair in enumerate(counts)}
        assert found == counts
    assert lacking
    assert full or limit > 200, "some counter was full"
