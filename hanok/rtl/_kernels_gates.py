"""Numba kernels that order the gates of a netlist and evaluate them, 64 lanes in a word."""

# Elements of arrays and compiled functions are Any to mypy.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanok.numerics._kernels_compile import inner, kernel, leaf

Table = NDArray[np.int64]
Gates = NDArray[np.int32]
Lanes = NDArray[np.uint64]
"""A row of words for each net, or for each bit of a memory: bit k of the words is lane k."""

AND, OR, XOR, MUX, READ = range(5)
OPERATION, OUTPUT, INPUT_A, INPUT_B, INPUT_C = range(5)
"""Columns of gates. MUX gives B where A is set, else C. READ's A is its row among the reads."""
MEMORY, ADDRESS, ADDRESS_BITS, DATA, ENABLE = range(5)
"""Columns of reads and writes: the row of the memory, the first of the nets that follow each other."""
BASE, FIRST, SIZE, BITS = range(4)
"""Columns of memories: where the bits begin, the first address, words, bits of a word."""


@leaf
def input_count(gates: Gates, reads: Table, gate: int) -> int:
    """How many inputs a gate has."""
    if gates[gate, OPERATION] == READ:
        return reads[gates[gate, INPUT_A], ADDRESS_BITS]
    return 3 if gates[gate, OPERATION] == MUX else 2


@leaf
def input_net(gates: Gates, reads: Table, gate: int, index: int) -> int:
    """Return the net at an input of a gate."""
    if gates[gate, OPERATION] == READ:
        return reads[gates[gate, INPUT_A], ADDRESS] + index
    return gates[gate, INPUT_A + index]


@kernel
def order_gates(gates: Gates, reads: Table, producer: Gates) -> Gates:
    """Return the gates in an order in which each comes after all that it reads; without those in a loop.

    `producer`: by net, the gate that drives it, -1 for none.
    """
    count = gates.shape[0]
    waits = np.zeros(count, np.int32)
    place = np.zeros(count + 1, np.int64)
    for gate in range(count):
        for index in range(input_count(gates, reads, gate)):
            source = producer[input_net(gates, reads, gate, index)]
            if source >= 0:
                waits[gate] += 1
                place[source + 1] += 1
    for gate in range(count):
        place[gate + 1] += place[gate]
    readers = np.empty(place[count], np.int32)
    filled = place[:count].copy()
    for gate in range(count):
        for index in range(input_count(gates, reads, gate)):
            source = producer[input_net(gates, reads, gate, index)]
            if source >= 0:
                readers[filled[source]] = gate
                filled[source] += 1
    order = np.empty(count, np.int32)
    found = 0
    for gate in range(count):
        if waits[gate] == 0:
            order[found] = gate
            found += 1
    done = 0
    while done < found:
        for index in range(place[order[done]], place[order[done] + 1]):
            reader = readers[index]
            waits[reader] -= 1
            if waits[reader] == 0:
                order[found] = reader
                found += 1
        done += 1
    return order[:found]


@inner
def same_address(
    values: Lanes, first: int, bits: int, word: int, left: np.uint64
) -> tuple[np.int64, np.uint64]:
    """Return the address in the lowest of the lanes that are left, and all of them with the same one."""
    address, lowest = np.int64(0), left & (~left + np.uint64(1))
    for index in range(bits):
        plane = values[first + index, word]
        if plane & lowest:
            address |= np.int64(1) << index
            left &= plane
        else:
            left &= ~plane
    return address, left


@inner
def read_memory(port: Table, memories: Table, content: Lanes, values: Lanes, lanes: Lanes) -> None:
    """Give each lane the word at its address; 0 where there is none."""
    memory = memories[port[MEMORY]]
    bits, out = memory[BITS], port[DATA]
    for word in range(values.shape[1]):
        for index in range(bits):
            values[out + index, word] = np.uint64(0)
        left = lanes[word]
        while left:
            address, same = same_address(values, port[ADDRESS], port[ADDRESS_BITS], word, left)
            left &= ~same
            address -= memory[FIRST]
            if address < 0 or address >= memory[SIZE]:
                continue
            at = memory[BASE] + address * bits
            for index in range(bits):
                values[out + index, word] |= content[at + index, word] & same


@inner
def write_memory(port: Table, memories: Table, content: Lanes, values: Lanes, lanes: Lanes) -> None:
    """Write each lane's word to its address, the bits that are enabled."""
    memory = memories[port[MEMORY]]
    bits, data, enable = memory[BITS], port[DATA], port[ENABLE]
    for word in range(values.shape[1]):
        left = np.uint64(0)
        for index in range(bits):
            left |= values[enable + index, word]
        left &= lanes[word]
        while left:
            address, same = same_address(values, port[ADDRESS], port[ADDRESS_BITS], word, left)
            left &= ~same
            address -= memory[FIRST]
            if address < 0 or address >= memory[SIZE]:
                continue
            at = memory[BASE] + address * bits
            for index in range(bits):
                chosen = same & values[enable + index, word]
                old = content[at + index, word]
                content[at + index, word] = (old & ~chosen) | (values[data + index, word] & chosen)


@kernel
def evaluate(
    gates: Gates, reads: Table, memories: Table, content: Lanes, values: Lanes, lanes: Lanes
) -> None:
    """Give all nets the values that follow from inputs and registers; gates come in order."""
    words = values.shape[1]
    for gate in range(gates.shape[0]):
        operation, out = gates[gate, OPERATION], gates[gate, OUTPUT]
        a, b, c = gates[gate, INPUT_A], gates[gate, INPUT_B], gates[gate, INPUT_C]
        if operation == READ:
            read_memory(reads[a], memories, content, values, lanes)
        elif operation == MUX:
            for word in range(words):
                other = values[c, word]
                values[out, word] = other ^ (values[a, word] & (values[b, word] ^ other))
        elif operation == AND:
            for word in range(words):
                values[out, word] = values[a, word] & values[b, word]
        elif operation == OR:
            for word in range(words):
                values[out, word] = values[a, word] | values[b, word]
        else:
            for word in range(words):
                values[out, word] = values[a, word] ^ values[b, word]


@kernel
def clock(
    flip_flops: Gates, writes: Table, memories: Table, content: Lanes, values: Lanes, lanes: Lanes
) -> None:
    """Take what stands before memories and flip-flops (columns: input, output) into them."""
    for port in range(writes.shape[0]):
        write_memory(writes[port], memories, content, values, lanes)
    words = values.shape[1]
    taken = np.empty((flip_flops.shape[0], words), np.uint64)
    for index in range(flip_flops.shape[0]):
        for word in range(words):
            taken[index, word] = values[flip_flops[index, 0], word]
    for index in range(flip_flops.shape[0]):
        for word in range(words):
            values[flip_flops[index, 1], word] = taken[index, word]
