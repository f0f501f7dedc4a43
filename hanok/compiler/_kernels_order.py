"""Kernels of the verifier: an untimed run of the four queues, vector clocks, and what they must order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]

UNITS = 4
_MAX_STEPS = 1 << 16


@njit(cache=True)
def run_untimed(unit: Ints, wait: Ints, post: Ints, queue_depth: int) -> tuple[Ints, Ints, Ints, int]:
    """Run dispatch, queues and semaphores without time.

    Return the order of execution, each instruction's place in its unit (from 1), its vector clock (how many
    instructions of each unit are finished before it starts), and how many ran: fewer than all is a deadlock.
    Units, queues and counters have one reader and one writer each, so that which instructions run at all does
    not depend on the order that is tried.
    """
    total = len(unit)
    order = np.zeros(total, np.int64)
    place = np.zeros(total, np.int64)
    clock = np.zeros((total, UNITS), np.int64)
    queue = np.zeros((UNITS, total + 1), np.int64)
    dispatched, started = np.zeros(UNITS, np.int64), np.zeros(UNITS, np.int64)
    poster = np.zeros((UNITS, UNITS, total + 1), np.int64)
    posts, waits = np.zeros((UNITS, UNITS), np.int64), np.zeros((UNITS, UNITS), np.int64)
    next_dispatch, ran = 0, 0
    moved = True
    while moved:
        moved = False
        while next_dispatch < total:
            target = unit[next_dispatch]
            if dispatched[target] - started[target] >= queue_depth:
                break
            queue[target, dispatched[target]] = next_dispatch
            dispatched[target] += 1
            next_dispatch += 1
            moved = True
        for here in range(UNITS):
            while started[here] < dispatched[here]:
                index = queue[here, started[here]]
                ready = True
                for other in range(UNITS):
                    if wait[index] >> other & 1 and waits[other, here] >= posts[other, here]:
                        ready = False
                if not ready:
                    break
                if started[here]:
                    for other in range(UNITS):
                        clock[index, other] = clock[queue[here, started[here] - 1], other]
                for other in range(UNITS):
                    if wait[index] >> other & 1:
                        source = poster[other, here, waits[other, here]]
                        waits[other, here] += 1
                        for third in range(UNITS):
                            clock[index, third] = max(clock[index, third], clock[source, third])
                        clock[index, other] = max(clock[index, other], place[source])
                started[here] += 1
                place[index] = started[here]
                for other in range(UNITS):
                    if post[index] >> other & 1:
                        poster[here, other, posts[here, other]] = index
                        posts[here, other] += 1
                order[ran] = index
                ran += 1
                moved = True
    return order, place, clock, ran


@njit(cache=True)
def find_overflow(
    unit: Ints, wait: Ints, post: Ints, place: Ints, clock: Ints, queue_depth: int, limit: int
) -> tuple[int, int, int]:
    """First post that some legal timing lets exceed `limit`: its instruction, the receiving unit, the count.

    The waits that surely started before a post are those of the receiver's instructions that its clock
    covers, and those that left the receiver's queue before the post was dispatched.
    """
    total = len(unit)
    taken = np.zeros((UNITS, UNITS, total + 1), np.int64)
    count = np.zeros(UNITS, np.int64)
    for index in range(total):
        here = unit[index]
        count[here] += 1
        for other in range(UNITS):
            taken[other, here, count[here]] = taken[other, here, count[here] - 1] + (wait[index] >> other & 1)
    posts = np.zeros((UNITS, UNITS), np.int64)
    before = np.zeros(UNITS, np.int64)
    for index in range(total):
        here = unit[index]
        for other in range(UNITS):
            if post[index] >> other & 1:
                posts[here, other] += 1
                started = max(clock[index, other], before[other] - queue_depth)
                most = posts[here, other] - taken[here, other, max(0, started)]
                if most > limit:
                    return index, other, most
        before[here] += 1
    return -1, 0, 0


@njit(cache=True)
def find_shared_bank(order: Ints, unit: Ints, place: Ints, clock: Ints, bits: Bits) -> tuple[int, int, int]:
    """First instruction executed that shares a bank with an unordered one, that one, and the bank."""
    words = bits.shape[1]
    last = np.zeros((UNITS, words * 64), np.int64)
    last_index = np.zeros((UNITS, words * 64), np.int64)
    for index in order:
        here = unit[index]
        for word in range(words):
            left = bits[index, word]
            bank = word * 64
            while left:
                if left & np.uint64(1):
                    for other in range(UNITS):
                        if other != here and last[other, bank] > clock[index, other]:
                            return index, last_index[other, bank], bank
                    last[here, bank] = place[index]
                    last_index[here, bank] = index
                left >>= np.uint64(1)
                bank += 1
    return -1, -1, -1


@njit(cache=True)
def _low_high(box: Ints, strides: Ints) -> tuple[int, int]:
    """Hull of a box: base, run, three counts; strides may be negative."""
    low, high = box[0], box[0] + box[1]
    for dim in range(3):
        extent = (box[2 + dim] - 1) * strides[dim]
        low += min(0, extent)
        high += max(0, extent)
    return low, high


@njit(cache=True)
def _largest(box: Ints, strides: Ints) -> tuple[int, int]:
    """The loop of a box that spans most bytes, and that span; -1 if every count is 1."""
    best, span = -1, -1
    for dim in range(3):
        extent = abs((box[2 + dim] - 1) * strides[dim])
        if box[2 + dim] > 1 and extent > span:
            best, span = dim, extent
    return best, span


@njit(cache=True)
def overlaps(left: Ints, left_strides: Ints, right: Ints, right_strides: Ints) -> bool:
    """Whether two strided byte sets (base, run, counts of three loops) meet.

    Halves the larger box until hulls part or single runs meet; past _MAX_STEPS it says yes, to be safe.
    """
    stack = np.zeros((256, 10), np.int64)
    for item in range(5):
        stack[0, item], stack[0, 5 + item] = left[item], right[item]
    depth = 1
    for _ in range(_MAX_STEPS):
        if depth == 0:
            return False
        depth -= 1
        entry = stack[depth].copy()
        low, high = _low_high(entry[:5], left_strides)
        other_low, other_high = _low_high(entry[5:], right_strides)
        if high <= other_low or other_high <= low:
            continue
        dim, span = _largest(entry[:5], left_strides)
        other_dim, other_span = _largest(entry[5:], right_strides)
        if dim < 0 and other_dim < 0:
            return True
        if span >= other_span:
            at, stride = 2 + dim, left_strides[dim]
            base = 0
        else:
            at, stride = 7 + other_dim, right_strides[other_dim]
            base = 5
        half = entry[at] // 2
        for item in range(10):
            stack[depth, item] = stack[depth + 1, item] = entry[item]
        stack[depth, at] = half
        stack[depth + 1, at] = entry[at] - half
        stack[depth + 1, base] = entry[base] + half * stride
        depth += 2
    return True


@njit(cache=True)
def find_dram_race(
    loads: Ints,
    stores: Ints,
    boxes: Ints,
    strides: Ints,
    place: Ints,
    clock: Ints,
    load_unit: int,
    store_unit: int,
) -> tuple[int, int]:
    """First LOAD and STORE whose DRAM bytes overlap and that nothing orders.

    loads and stores hold the instructions that touch DRAM; for each load, the stores that are neither before
    it nor after it are consecutive.
    """
    first = 0
    for load in loads:
        while first < len(stores) and place[stores[first]] <= clock[load, store_unit]:
            first += 1
        low, high = _low_high(boxes[load], strides[load])
        for position in range(first, len(stores)):
            store = stores[position]
            if clock[store, load_unit] >= place[load]:
                break
            store_low, store_high = _low_high(boxes[store], strides[store])
            if high <= store_low or store_high <= low:
                continue
            if overlaps(boxes[load], strides[load], boxes[store], strides[store]):
                return load, store
    return -1, -1


@njit(cache=True)
def find_store_into(stores: Ints, boxes: Ints, strides: Ints, ranges: Ints) -> tuple[int, int]:
    """First STORE that writes into one of the ranges (address, size), and which."""
    single = np.zeros(3, np.int64)
    target = np.ones(5, np.int64)
    for store in stores:
        low, high = _low_high(boxes[store], strides[store])
        for number in range(len(ranges)):
            target[0], target[1] = ranges[number, 0], ranges[number, 1]
            if target[1] == 0 or high <= target[0] or target[0] + target[1] <= low:
                continue
            if overlaps(boxes[store], strides[store], target, single):
                return store, number
    return -1, -1
