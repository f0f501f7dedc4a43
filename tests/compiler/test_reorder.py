"""Instructions start when they are ready: whatever the order, values, owners and what depends stay."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from compiled import check, chip, run_program
from onnx import ModelProto
from qdq_models import random_feeds
from test_formulas import feeds_of
from test_networks import network
from test_sink_concats import evened, turned_and_given

from hanok.compiler import pipeline
from hanok.compiler.allocate import Allocator
from hanok.compiler.chain import Chain, plain_window
from hanok.compiler.encode import encode_operations
from hanok.compiler.pipeline import compile_graph
from hanok.compiler.reorder import keeps_ports, reorder
from hanok.compiler.schedule import Access, Buffer, Location, Operation, Schedule
from hanok.compiler.tiles import Mover
from hanok.compiler.verify import verify_code
from hanok.graph import import_graph
from hanok.isa import Opcode, Source, Unit
from hanok.machine import Chip
from hanok.simulator import Machine, Timing, simulate

DRAM_BYTES = 1 << 16


def stage(seed: int, target: Chip, length: int = 60) -> list[Operation]:
    """Loads, copies, fills and stores of random places, placed in program order."""
    rng = np.random.default_rng(seed)
    schedule = Schedule(target)
    mover, kept = Mover(target, schedule), list[Buffer]()
    bank = target.core.sram.bank_bytes
    for number in range(length):
        kept = kept[-4:]
        size = int(rng.integers(1, 3 * bank))
        match rng.integers(0, 4) if kept else 0:
            case 0:
                kept.append(Buffer(f"loaded {number}", size, long_lived=bool(rng.integers(0, 2))))
                mover.load_bytes(kept[-1], 0, int(rng.integers(0, DRAM_BYTES - size)), size)
            case 1:
                source = kept[int(rng.integers(0, len(kept)))]
                kept.append(Buffer(f"copied {number}", source.size_bytes))
                _copy(schedule, source, kept[-1])
            case 2:
                source = kept[int(rng.integers(0, len(kept)))]
                run = [(source.size_bytes, 1, 1)]
                start = int(rng.integers(0, DRAM_BYTES - source.size_bytes))
                mover.strided(Opcode.STORE, run, start, Location(source))
            case _:
                target_buffer = kept[int(rng.integers(0, len(kept)))]
                mover.fill(Location(target_buffer), int(rng.integers(1, target_buffer.size_bytes + 1)), 7)
    Allocator(target).place(schedule.operations, 0)
    return schedule.operations


def _copy(schedule: Schedule, source: Buffer, target: Buffer) -> None:
    size = source.size_bytes
    chain = Chain(
        (1, 1, 1),
        size,
        Source.INT8,
        plain_window(1, 1, 0, 0),
        Location(source),
        source_access=Access(source, 0, size),
    )
    schedule.append(chain.operation(Location(target), (0, 0, 0, 1), Access(target, 0, size), 0))


def timed(target: Chip) -> Any:
    """What the compiler is given to time a code."""
    return lambda code: simulate(code, target)


def run(operations: list[Operation], target: Chip) -> bytes:
    """DRAM behind a stage that begins with noise in it."""
    image = np.random.default_rng(1).integers(-128, 128, DRAM_BYTES, np.int8)
    code = encode_operations(operations, target)
    verify_code(code, target, DRAM_BYTES)
    Machine(target, image.view(np.uint8)).run(code, trap=True)
    return image.tobytes()


def depend(first: Operation, second: Operation, bank_bytes: int) -> bool:
    """Whether two operations touch one bank of a buffer, or bytes of DRAM that one of them writes."""
    for one in first.accesses:
        for other in second.accesses:
            low, high = max(one.low, other.low) // bank_bytes, (min(one.high, other.high) - 1) // bank_bytes
            if one.buffer is other.buffer and low <= high:
                return True
    one_dram, other_dram = first.dram, second.dram
    if one_dram is None or other_dram is None or not (one_dram.write or other_dram.write):
        return False
    return one_dram.low < other_dram.high and other_dram.low < one_dram.high


@pytest.mark.parametrize("seed", range(12))
def test_what_depends_keeps_its_order_and_values_stay(seed: int) -> None:
    target = chip("odd" if seed % 2 else "odd many")
    operations = stage(seed, target)
    before, cycles = run(operations, target), simulate(encode_operations(operations, target), target).cycles
    found = reorder(operations, target, timed(target))
    assert sorted(map(id, found)) == sorted(map(id, operations))
    place = {id(operation): index for index, operation in enumerate(found)}
    for index, second in enumerate(operations):
        for first in operations[:index]:
            if depend(first, second, target.core.sram.bank_bytes):
                assert place[id(first)] < place[id(second)]
    assert run(found, target) == before
    assert simulate(encode_operations(found, target), target).cycles <= cycles


def test_independent_work_overlaps() -> None:
    """Copies of copies, and behind them loads and stores that have nothing to do with them."""
    target = chip("odd many")
    schedule = Schedule(target)
    mover, size = Mover(target, schedule), 2 * target.core.sram.bank_bytes
    chain = [Buffer(f"copy {number}", size) for number in range(9)]
    mover.load_bytes(chain[0], 0, 0, size)
    for source, copy in pairwise(chain):
        _copy(schedule, source, copy)
    for number in range(8):
        moved = Buffer(f"moved {number}", size)
        mover.load_bytes(moved, 0, size * number, size)
        mover.strided(Opcode.STORE, [(size, 1, 1)], DRAM_BYTES // 2 + size * number, Location(moved))
    Allocator(target).place(schedule.operations, 0)
    operations = schedule.operations
    before, cycles = run(operations, target), simulate(encode_operations(operations, target), target).cycles
    found = reorder(operations, target, timed(target))
    assert run(found, target) == before
    assert simulate(encode_operations(found, target), target).cycles < 0.9 * cycles


def test_buffers_share_no_bank_at_one_time() -> None:
    """Of a compiled network: buffers whose lives in the new order overlap lie apart."""
    seen: list[list[Operation]] = []

    def noted(operations: list[Operation], target: Chip, measure: Any) -> list[Operation]:
        seen.append(reorder(operations, target, measure))
        return seen[-1]

    target = chip("odd many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "reorder", noted)
        compile_graph(import_graph(evened()), target, measure=timed(target))
    bank_bytes = target.core.sram.bank_bytes
    for operations in seen:
        lives: dict[Buffer, list[int]] = {}
        for index, operation in enumerate(operations):
            for access in operation.accesses:
                lives.setdefault(access.buffer, []).append(index)
        held = sorted((b.address, b.address + b.size_bytes, min(u), max(u)) for b, u in lives.items())
        for first in held:
            for second in held[held.index(first) + 1 :]:
                if second[2] <= first[3] and first[2] <= second[3]:
                    assert (first[1] - 1) // bank_bytes < second[0] // bank_bytes, (first, second)


@pytest.mark.parametrize("build", [evened, turned_and_given])
@pytest.mark.parametrize("name", ["odd wide", "odd many"])
def test_a_model_gives_the_same_bits_and_takes_no_longer(build: Any, name: str) -> None:
    model: ModelProto = build()
    target, graph = chip(name), import_graph(model)
    programs = []
    for change in (lambda operations, *_: operations, reorder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "reorder", change)
            programs.append(compile_graph(graph, target, measure=timed(target)))
    feeds = feeds_of(graph, 0)
    plain, reordered = (run_program(program, feeds, "stepwise", True) for program in programs)
    for output in graph.outputs:
        np.testing.assert_array_equal(plain[output], reordered[output])
    totals = [sum(simulate(s.code, target).cycles for s in program.npu_stages) for program in programs]
    assert totals[1] <= totals[0]


@pytest.mark.parametrize(("seed", "name"), [(21, "odd packed"), (22, "odd"), (23, "nano"), (24, "edge")])
def test_networks_with_tables_and_packed_weights(seed: int, name: str) -> None:
    """TABLE and EXPAND leave a state behind that later instructions of their unit read."""
    found = check(network(seed, False), name, seed, mode="stepwise", trap=True, measured=True)
    assert found.reference_mismatches == 0


def test_a_program_whose_banks_are_all_taken_still_ends() -> None:
    """Each layer of the odd chip takes nearly all of its SRAM, so that few orders find banks in a row."""
    model = network(50, False)
    found = check(model, "odd", 50, measured=True)
    assert found.reference_mismatches == 0
    assert run_program(found.program, random_feeds(found.graph, 50)).keys() == found.outputs.keys()


def test_weights_where_the_instruction_before_reads_are_seen() -> None:
    one, two, three = (Buffer(name, 64) for name in ("one", "two", "three"))

    def multiply(activations: Buffer, weights: Buffer) -> Operation:
        accesses = (Access(activations, 0, 64), Access(weights, 0, 64))
        return Operation(Opcode.CONV, {}, {}, accesses, 0)

    between = multiply(three, two)
    assert not keeps_ports([multiply(one, two), multiply(three, one)])
    assert keeps_ports([multiply(one, two), between, multiply(three, one)])


def test_times_that_lie_change_no_value() -> None:
    """The times only guide: with those of another code the order is another, and as good a program."""
    target = chip("odd many")
    operations = stage(5, target)
    before = run(operations, target)

    def lying(code: bytes) -> Timing:
        timing = simulate(code, target)
        rng = np.random.default_rng(2)
        start = np.sort(rng.integers(0, 1000, len(timing.start)))
        return replace(timing, start=start, end=start + rng.integers(1, 90, len(start)))

    found = reorder(operations, target, lying)
    assert run(found, target) == before
    moves = [one.unit is Unit.VECTOR for one in found]
    assert any(first != second for first, second in pairwise(moves))
