"""The rules of the verifier: names, what each asks, and what the kernels' findings mean."""

from __future__ import annotations

from hanok.compiler import _kernels_access as access_kernels

RULES = {
    "mask": "wait and post name other units only",
    "count": "loop counts are at least 1",
    "flags": "only the instruction's own flags are set",
    "code": "enumerated fields hold a value of their table",
    "limit": "limits are not negative",
    "coordinate": "y and x have 32 bits wherever the loops bring them, inside the limits or not",
    "ring": "a ring starts within itself, and two rows of one instruction never lie in one slot",
    "array": "columns fit the array",
    "window": "a depthwise window fits the array's rows, and goes on by whole pixels",
    "reduction": "reduce loops need a reduction",
    "clamp": "clamps are not empty and fit the type",
    "alignment": "elements of 4 bytes lie at multiples of 4 bytes",
    "steps": "a chain has at most 8 steps",
    "operand": "a step's operand is there",
    "saved": "`saved` is written before it is read",
    "table": "a LOOKUP follows a TABLE",
    "expand": "packed weights have their decoder, their table and whole words",
    "unpack": "weights of four bits have their unpacker, and are whole groups in whole beats",
    "sram-bounds": "every access lies in the SRAM",
    "accumulator-bounds": "every access lies in the accumulators",
    "dram-bounds": "every access lies in the program's DRAM",
    "read-port": "the SRAM sources of a CHAIN share no bank: a bank has one read port",
    "overlap": "a CHAIN's result lies on no operand, or exactly in its place: same address, strides and "
    "element size, no ring, no reduction, each element written once",
    "weight-port": "weights and biases share no bank with the activations of their own instruction",
    "next-weight-port": "weights and biases share no bank with the activations of the matrix instruction "
    "before, unless semaphores end that one first: the loader runs ahead",
    "constant": "STORE writes neither code nor constants",
    "balance": "every post is waited for, once, before the code ends",
    "deadlock": "dispatch in order, with full queues, comes to the end",
    "semaphore-limit": "no legal timing fills a semaphore",
    "bank-owner": "instructions of different units that touch one bank are ordered by semaphores",
    "dram-order": "a LOAD and a STORE of the same DRAM bytes are ordered by semaphores",
}
"""Name of each rule and what it asks; every message ends with it."""

KERNEL_RULES = {
    access_kernels.SRAM_BOUNDS: ("sram-bounds", "bytes {0} .. {1}; allowed: 0 .. {sram}"),
    access_kernels.DRAM_BOUNDS: ("dram-bounds", "bytes {0} .. {1}; allowed: 0 .. {dram}"),
    access_kernels.ACCUMULATOR_BOUNDS: (
        "accumulator-bounds",
        "{0} .. {1}; allowed: 0 .. {rows} rows ({elements} elements)",
    ),
    access_kernels.RING_ALIAS: ("ring", "{0} rows in a ring of {1}"),
    access_kernels.WEIGHT_PORT: ("weight-port", "SRAM bank {0}"),
    access_kernels.READ_PORT: ("read-port", "SRAM bank {0}"),
    access_kernels.OVERLAP: ("overlap", "the result and operand {0} share bytes"),
}
"""Finding of a kernel -> rule, and how what was found is told."""
