"""The verifier's kernels against naive oracles: every byte walked, every order enumerated."""

from __future__ import annotations

from itertools import product
from operator import mul
from typing import Any

import numpy as np
import pytest
from verify_programs import BANK, COLUMNS, DRAM_BYTES, chain, conv, depthwise, dma, small_chip

from hanok.compiler import _kernels_order as order_kernels
from hanok.compiler.verify import _check_accesses, verify_code
from hanok.errors import VerifyError
from hanok.isa import Opcode, Source, decode

CHIP = small_chip()
SRAM = CHIP.core.sram.total_bytes
ELEMENTS = 2 * 64 * COLUMNS


def walk(base: int, run: int, *loops: tuple[int, int]) -> set[int]:
    """Every byte of a strided access."""
    out = set()
    for indices in product(*(range(count) for count, _ in loops)):
        start = base + sum(index * stride for index, (_, stride) in zip(indices, loops, strict=True))
        out.update(range(start, start + run))
    return out


def slot(y: int, ring_rows: int, ring_start: int) -> int:
    return (y + ring_start) % ring_rows if ring_rows else y


def judge(code: bytes) -> set[int] | None:
    """The banks that the verifier finds, or None where it refuses bounds."""
    decoded = decode(code)
    try:
        bits, _ = _check_accesses(decoded, CHIP, DRAM_BYTES)
    except VerifyError as error:
        if not any(rule in str(error) for rule in ("-bounds: ", "-port: ", ": ring: ")):
            raise
        return None
    return {bank for bank in range(64 * bits.shape[1]) if int(bits[0, bank >> 6]) >> (bank & 63) & 1}


def banks_of(data: set[int]) -> set[int]:
    return {byte // BANK for byte in data}


def test_dma_banks_and_bounds_are_exact():
    generator = np.random.default_rng(1)
    refused = 0
    for _ in range(600):
        counts = [int(n) for n in generator.integers(1, 5, 3)]
        strides = [
            int(n) for n in generator.choice([-3000, -1024, -70, 0, 5, 64, 900, 1024, 1500, 2048, 4096], 3)
        ]
        base, run = int(generator.integers(0, SRAM)), int(generator.choice([1, 64, 700, 2100]))
        fields = {f"count_{n + 1}": count for n, count in enumerate(counts)}
        fields |= {f"sram_stride_{n + 1}": stride for n, stride in enumerate(strides)}
        data = walk(base, run, *zip(counts, strides, strict=True))
        found = judge(dma(sram=base, run=run, **fields))
        inside = min(data) >= 0 and max(data) < SRAM
        assert (found is not None) == inside
        refused += not inside
        if found is not None:
            assert found == banks_of(data)
    assert 100 < refused < 500


def matrix_bytes(fields: dict[str, int], depthwise_mode: bool) -> set[int]:
    """Activation bytes of CONV or DEPTHWISE, by the manual's text."""
    out = set()
    loops = product(
        *(range(fields[name]) for name in ("out_height", "out_width", "taps_y", "taps_x", "blocks"))
    )
    for oy, ox, ty, tx, n in loops:
        y = fields["y_start"] + oy * fields["y_stride"] + ty * fields["y_dilation"]
        if not 0 <= y < fields["y_limit"]:
            continue
        used = COLUMNS if n < fields["blocks"] - 1 else fields["last_columns"]
        width = used if depthwise_mode else fields["tap_bytes"]
        x = fields["x_start"] + ox * fields["x_stride"] + tx * fields["x_tap"] + n * fields["x_block"]
        row = (
            fields["activation_address"]
            + slot(y, fields["ring_rows"], fields["ring_start"]) * fields["row_pitch"]
        )
        out.update(row + byte for byte in range(x, x + width) if 0 <= byte < fields["x_limit"])
    return out


def test_weights_by_column_are_bounded_and_owned():
    """Every byte of every column, walked; the verifier is exact in bounds and banks."""
    generator = np.random.default_rng(7)
    refused = 0
    for _ in range(300):
        pick = lambda *values: int(generator.choice(values))  # noqa: E731
        taps, tap_bytes, blocks = pick(1, 2, 3), pick(1, 8, 500), pick(1, 2, 3)
        pitch, address, last = pick(0, 7, 300, 1023, 1500, 3000), pick(0, 100, 12000), pick(1, 5, 8)
        used = (blocks - 1) * COLUMNS + last
        data = walk(address, taps * tap_bytes, (used, pitch))
        fields = {"blocks": blocks, "last_columns": last, "taps_y": taps, "tap_bytes": tap_bytes}
        found = judge(conv(weights=address, flags=4, weight_pitch=pitch, x_limit=0, **fields))
        assert (found is not None) == (max(data) < SRAM)
        refused += found is None
        if found is not None:
            assert {bank for bank in found if bank < CHIP.core.sram.banks} == banks_of(data)
    assert 50 < refused < 250


@pytest.mark.parametrize("depthwise_mode", [False, True])
def test_matrix_activations_are_bounded_and_owned(depthwise_mode):
    """Refused only if a byte is outside (rings may refuse more); owned banks hold those read."""
    generator = np.random.default_rng(2 + depthwise_mode)
    refused = exact = legal = 0
    for _ in range(400):
        pick = lambda *values: int(generator.choice(values))  # noqa: E731
        ring = pick(0, 0, 0, 6, 9)
        fields = {
            "activation_address": pick(0, 100, 4096, 12000),
            "row_pitch": pick(40, 300, 1024, 1500),
            "ring_rows": ring,
            "ring_start": pick(0, 3) if ring else 0,
            "y_start": pick(-3, -1, 0, 2),
            "y_stride": pick(-1, 1, 2, 3),
            "y_dilation": pick(1, 2),
            "y_limit": pick(1, 4, 7, 12),
            "x_start": pick(-9, -8, 0, 3),
            "x_stride": pick(8, 16),
            "x_tap": pick(8, 16),
            "x_block": pick(0, 8, 40),
            "x_limit": pick(1, 24, 40, 200),
            "out_height": pick(1, 2, 4),
            "out_width": pick(1, 3),
            "taps_y": pick(1, 2, 3),
            "taps_x": pick(1, 2),
            "blocks": pick(1, 2),
            "last_columns": pick(1, 5, 8),
            "tap_bytes": 1 if depthwise_mode else pick(1, 8, 11),
            "weight_address": 14 * BANK,
        }
        data = matrix_bytes(fields, depthwise_mode)
        found = judge((depthwise if depthwise_mode else conv)(**fields))
        outside = bool(data) and not (min(data) >= 0 and max(data) < SRAM)
        if found is None:
            refused += 1
            assert outside or ring or max(banks_of(data), default=0) >= 14
            continue
        legal += 1
        assert not outside
        owned = {bank for bank in found if bank < 14}
        read = banks_of(data) - {14, 15}
        assert read <= owned
        assert not owned or (min(owned) >= min(read) and max(owned) <= max(read)) or ring
        exact += read == owned
    assert legal > 150
    assert refused > 10
    assert exact > 0.9 * legal


def test_chain_operand_0_is_bounded_and_owned():
    generator = np.random.default_rng(4)
    refused = exact = legal = 0
    for _ in range(400):
        pick = lambda *values: int(generator.choice(values))  # noqa: E731
        accumulator, ring = pick(0, 1), pick(0, 0, 5)
        fields = {
            "kind_0": Source.ACCUMULATOR if accumulator else Source.INT8,
            "address_0": pick(0, 64, 700),
            "row_pitch": pick(-64, 40, 128, 1024),
            "pixel_pitch": pick(8, 16, -8),
            "stride_2": pick(0, 100),
            "stride_inner": pick(1, 2),
            "outer_2": pick(1, 2),
            "outer_1": pick(1, 2, 4),
            "outer_0": pick(1, 3),
            "reduce_1": pick(1, 2),
            "reduce_0": pick(1, 3),
            "inner": pick(1, 8),
            "reduction": 1,
            "ring_rows": ring,
            "ring_start": pick(0, 2) if ring else 0,
            "y_start": pick(-1, 0),
            "y_stride": pick(1, 2),
            "y_dilation": pick(1, 2),
            "y_limit": pick(1, 3, 9),
            "x_start": pick(-1, 0),
            "x_stride": pick(1, 2),
            "x_dilation": pick(1, 2),
            "x_limit": pick(1, 4, 9),
            "address_out": 15 * BANK,
            "strides_out": [0, 0, 0, 0],
        }
        data = set()
        names = ("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner")
        for o2, o1, o0, r1, r0, i in product(*(range(fields[name]) for name in names)):
            y = fields["y_start"] + o1 * fields["y_stride"] + r1 * fields["y_dilation"]
            x = fields["x_start"] + o0 * fields["x_stride"] + r0 * fields["x_dilation"]
            if 0 <= y < fields["y_limit"] and 0 <= x < fields["x_limit"]:
                row = slot(y, ring, fields["ring_start"]) * fields["row_pitch"] + x * fields["pixel_pitch"]
                data.add(fields["address_0"] + row + o2 * fields["stride_2"] + i * fields["stride_inner"])
        limit, size, first = (ELEMENTS, 64 * COLUMNS, 16) if accumulator else (SRAM, BANK, 0)
        outside = bool(data) and not (min(data) >= 0 and max(data) < limit)
        found = judge(chain(**fields))
        if found is None:
            refused += 1
            assert outside or ring
            continue
        legal += 1
        assert not outside
        owned, read = found - {15}, {first + element // size for element in data}
        assert read <= owned
        exact += read == owned
    assert legal > 150
    assert refused > 30
    assert exact > 0.9 * legal


def is_hazard(fields: dict[str, Any], number: int) -> bool:
    """Whether an element of operand `number` has a byte of another element's result."""
    counts = [fields[name] for name in ("outer_2", "outer_1", "outer_0", "inner")]
    written: dict[int, tuple[int, ...]] = {}
    read: dict[tuple[int, ...], int] = {}
    size = 1 if fields["kind_out"] == Source.INT8 else 4
    for index in product(*map(range, counts)):
        strides = [fields["stride_2"], 0, fields["pixel_pitch"], fields["stride_inner"]]
        row = slot(index[1], fields["ring_rows"], fields["ring_start"]) * fields["row_pitch"]
        if number:
            strides, row = fields[f"strides_{number}"], 0
        read[index] = fields[f"address_{number}"] + row + sum(map(mul, index, strides))
        place = fields["address_out"] + sum(map(mul, index, fields["strides_out"]))
        for byte in range(place, place + size):
            written[byte] = index if written.get(byte, index) == index else ()
    return any(written.get(at + byte, index) != index for index, at in read.items() for byte in range(size))


def test_no_result_reaches_an_operand_that_is_still_to_be_read():
    generator = np.random.default_rng(6)
    refused = legal = in_place = 0
    for _ in range(600):
        pick = lambda *values: int(generator.choice(values))  # noqa: E731
        inner, rows, width = pick(1, 4), pick(1, 3), pick(1, 4)
        near = [pick(0, 96, 100), pick(4 * width * inner, 32, 0), pick(width * inner, 8), width]
        moved = [value if generator.random() < 0.9 else pick(0, 4, 12, 64) for value in near]
        kind, ring = Source.INT8 if width == 1 else Source.FLOAT32, pick(0, 0, 0, 3)
        fields = {
            "outer_2": pick(1, 2), "outer_1": rows, "outer_0": pick(1, 4), "inner": inner,
            "kind_0": kind, "kind_out": kind, "kind_1": kind, "address_0": pick(0, 0, 4, 8),
            "ring_rows": ring, "ring_start": pick(0, 2) if ring else 0, "y_stride": 1, "y_limit": rows,
            "x_limit": 4, "stride_2": near[0], "row_pitch": near[1], "pixel_pitch": near[2],
            "stride_inner": near[3], "address_1": 2 * BANK, "strides_1": moved, "strides_out": moved,
            "address_out": pick(0, 0, 4, 64, 2 * BANK, 2 * BANK),
        }  # fmt: skip
        hazard = is_hazard(fields, 0) or is_hazard(fields, 1)
        try:
            verify_code(chain(**fields), CHIP, DRAM_BYTES)
        except VerifyError as error:
            if ": overlap: " not in str(error):
                raise
            refused += 1
            continue
        assert not hazard
        legal += 1
        in_place += fields["address_out"] in (fields["address_0"], fields["address_1"])
    assert refused > 100
    assert legal > 100
    assert in_place > 50


def test_overlap_of_strided_sets_is_exact():
    generator = np.random.default_rng(5)
    outcomes = []
    for _ in range(1500):
        boxes, strides = np.zeros((2, 5), np.int64), np.zeros((2, 3), np.int64)
        for side in range(2):
            boxes[side] = [generator.integers(0, 150), generator.integers(1, 6), *generator.integers(1, 5, 3)]
            strides[side] = generator.choice([-40, -7, 0, 6, 12, 24, 36, 100], 3)
        left, right = (
            walk(
                int(boxes[side, 0]),
                int(boxes[side, 1]),
                *[(int(boxes[side, 2 + n]), int(strides[side, n])) for n in range(3)],
            )
            for side in range(2)
        )
        found = order_kernels.overlaps(boxes[0], strides[0], boxes[1], strides[1])
        assert found == bool(left & right)
        outcomes.append(found)
    assert 0.2 < np.mean(outcomes) < 0.8


def random_flow(generator: np.random.Generator, total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units, waits and posts where each wait has its post before it in dispatch order."""
    unit = generator.integers(0, 4, total)
    wait, post = np.zeros(total, np.int64), np.zeros(total, np.int64)
    for _ in range(total):
        first, second = sorted(generator.integers(0, total, 2).tolist())
        if unit[first] == unit[second] or post[first] >> unit[second] & 1 or wait[second] >> unit[first] & 1:
            continue
        post[first] |= 1 << unit[second]
        wait[second] |= 1 << unit[first]
    return unit.astype(np.int64), wait, post


def closure(unit: np.ndarray, wait: np.ndarray, post: np.ndarray) -> np.ndarray:
    """before[i, j]: i is finished before j starts, from k-th post to k-th wait and the order in each unit."""
    total = len(unit)
    before = np.zeros((total, total), bool)
    for index in range(total):
        for later in range(index + 1, total):
            before[index, later] = unit[index] == unit[later]
    for source, target in product(range(4), range(4)):
        posters = [n for n in range(total) if unit[n] == source and post[n] >> target & 1]
        waiters = [n for n in range(total) if unit[n] == target and wait[n] >> source & 1]
        for poster, waiter in zip(posters, waiters, strict=True):
            before[poster, waiter] = True
    for middle in range(total):
        before |= before[:, middle : middle + 1] & before[middle]
    return before


def test_bank_owners_follow_happens_before():
    generator = np.random.default_rng(6)
    verdicts = []
    for _ in range(300):
        unit, wait, post = random_flow(generator, 24)
        bits = np.zeros((24, 4), np.uint64)
        for index, bank in enumerate(generator.integers(0, 256, 24)):
            bits[index, bank >> 6] = np.uint64(1) << np.uint64(bank & 63)
        order, place, clock, ran = order_kernels.run_untimed(unit, wait, post, 24)
        assert ran == 24
        before = closure(unit, wait, post)
        clash = {
            (i, j)
            for i in range(24)
            for j in range(24)
            if unit[i] != unit[j] and np.any(bits[i] & bits[j]) and not before[i, j] and not before[j, i]
        }
        index, other, bank = order_kernels.find_shared_bank(order, unit, place, clock, bits)
        assert (index >= 0) == bool(clash)
        if clash:
            assert (index, other) in clash
            assert int(bits[index, bank >> 6]) >> (bank & 63) & 1
        verdicts.append(bool(clash))
    assert 0.2 < np.mean(verdicts) < 0.8


def test_the_semaphore_bound_is_met_by_an_adversarial_run():
    """The bound is never below what a run reaches that holds each waiting unit back as long as it can."""
    generator = np.random.default_rng(8)
    for _ in range(200):
        unit, wait, post = random_flow(generator, 20)
        _, place, clock, ran = order_kernels.run_untimed(unit, wait, post, 3)
        if ran < 20:
            continue
        bound = 0
        while order_kernels.find_overflow(unit, wait, post, place, clock, 3, bound)[0] >= 0:
            bound += 1
        assert max(run_lazily(unit, wait, post, 3, lazy) for lazy in range(4)) <= bound


def run_lazily(unit: np.ndarray, wait: np.ndarray, post: np.ndarray, depth: int, lazy: int) -> int:
    """Largest counter when unit `lazy` starts an instruction only if nothing else can move."""
    counters = np.zeros((4, 4), np.int64)
    queues: list[list[int]] = [[], [], [], []]
    pending = list(range(len(unit)))
    most = 0
    while pending or any(queues):
        while pending and len(queues[unit[pending[0]]]) < depth:
            index = pending.pop(0)
            queues[unit[index]].append(index)
        for here in sorted(range(4), key=lambda number: number == lazy):
            if queues[here] and all(counters[s, here] for s in range(4) if wait[queues[here][0]] >> s & 1):
                index = queues[here].pop(0)
                for other in range(4):
                    counters[other, here] -= wait[index] >> other & 1
                    counters[here, other] += post[index] >> other & 1
                most = max(most, int(counters.max()))
                break
        else:
            raise AssertionError("deadlock")
    return most


def test_a_deadlock_does_not_depend_on_the_order_tried():
    """The untimed run and a run in another order agree on which programs end."""
    generator = np.random.default_rng(9)
    ends = []
    for _ in range(300):
        unit, wait, post = random_flow(generator, 20)
        shuffled = generator.permutation(20)
        unit, wait, post = unit[shuffled], wait[shuffled], post[shuffled]
        ran = order_kernels.run_untimed(unit, wait, post, 3)[3]
        try:
            run_lazily(unit, wait, post, 3, int(generator.integers(0, 4)))
            ended = True
        except AssertionError:
            ended = False
        assert ended == (ran == 20)
        ends.append(ended)
    assert 0.05 < np.mean(ends) < 0.95


def test_fill_reads_no_dram():
    verify_code(dma(Opcode.FILL, dram=1 << 40), CHIP, DRAM_BYTES)
