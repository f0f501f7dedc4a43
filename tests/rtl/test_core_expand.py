"""Packed weights in the whole core: programs with EXPAND in gates and in the models."""

from __future__ import annotations

import random

import numpy as np
import pytest
from core_bench import bench_of, small_chip
from core_programs import CODE_ADDRESS, HALF, memory_image
from expand_model import encode_words, random_lengths, table_of
from expand_programs import CORNERS, STREAMS, run_packed
from qdq_models import QdqModel, random_feeds

from hanok.compiler.pipeline import compile_graph
from hanok.errors import ProgramError, VerifyError
from hanok.flows.cosim import cosimulate
from hanok.graph import import_graph
from hanok.isa import Opcode, decode, encode
from hanok.isa.faults import Fault
from hanok.machine import Chip
from hanok.simulator import emulate

SHAPES: list[dict[str, int]] = [
    {},
    {"expand_lanes": 1, "width": 7},
    {"expand_lanes": 16, "outstanding": 1},
    {"rows": 4, "bank_bytes": 1024, "width": 100, "outstanding": 9},
]


def packing_chip(**sizes: int) -> Chip:
    return small_chip(**{"expand_lanes": 4, **sizes})


def test_random_programs_agree_in_every_bit_and_cycle() -> None:
    reached = run_packed(packing_chip(), seed=1, programs=40, most=8)
    assert [corner for corner in CORNERS if not reached[corner]] == []


def test_a_model_with_packed_weights_agrees_in_every_bit_and_cycle() -> None:
    """Two convolutions whose weights have few values, from a memory that is slower than the decoder."""
    slow = {"standard": "FLAT:100", "channels": 1, "capacity_mib": 1, "latency_cycles": 7}
    rng, model = np.random.default_rng(5), QdqModel()
    value = model.input((1, 16, 5, 5), 0.05)
    for _ in range(2):
        weights = np.rint(rng.normal(0, 1, (16, 16, 3, 3))).astype(np.int8)
        value = model.apply("Conv", [value, model.weight(weights, 0.01)], pads=[1, 1, 1, 1])
        value = model.dequantize(model.quantize(value, 0.1), 0.1)
    model.output(value, 0.1)
    graph = import_graph(model.model())
    program = compile_graph(graph, small_chip(slow, expand_lanes=4))
    opcodes = decode(program.npu_stages[0].code).opcode
    assert np.sum(opcodes == Opcode.EXPAND) > 0
    record = cosimulate(program, random_feeds(graph, 1))
    assert record.stages
    assert record.equal, [stage for stage in record.stages if not stage.equal]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SHAPES)
def test_random_programs_on_other_shapes(sizes: dict[str, int]) -> None:
    run_packed(packing_chip(**sizes), seed=2, programs=60, most=20)


ONCE = dict.fromkeys(("count_1", "count_2", "count_3"), 1)
LENGTHS = random_lengths(random.Random(1), 20, 9)
CONTENT = bytes(sorted(LENGTHS) * 5)


FIRST = encode(Opcode.FILL, {"run_bytes": 8, "sram_address": 0, "value": 1, **ONCE})


def expand(**changes: int) -> bytes:
    """An EXPAND of CONTENT with its changes, behind FIRST, and a store of what must not be seen."""
    words = encode_words(CONTENT, LENGTHS, packing_chip().core.dma)
    values = {
        "run_bytes": len(CONTENT),
        "packed_bytes": 128 + 2 * len(words),
        "dram_address": STREAMS,
        "sram_address": 1000,
        **ONCE,
    }
    store = {"run_bytes": 64, "sram_address": 1000, "dram_address": HALF, **ONCE}
    packed = encode(Opcode.EXPAND, {**values, "post": 2, **changes})
    return FIRST + packed + encode(Opcode.STORE, {**store, "wait": 1})


def image_of(code: bytes, damage: int = -1) -> np.ndarray:
    """Memory with the stream, one of whose bytes is another one."""
    image = memory_image(np.random.default_rng(1), code)
    words = encode_words(CONTENT, LENGTHS, packing_chip().core.dma)
    stream = table_of(LENGTHS) + b"".join(word.to_bytes(2, "little") for word in words)
    image[STREAMS : STREAMS + len(stream)] = np.frombuffer(stream, np.uint8)
    if damage >= 0:
        image[STREAMS + damage] ^= 0x11
    return image


SRAM = packing_chip().core.sram.total_bytes
BAD: list[tuple[Fault, dict[str, int], int]] = [
    (Fault.ZERO_LENGTH, {"run_bytes": 0}, -1),
    (Fault.NO_SUCH_VALUE, {"count_2": 2}, -1),
    (Fault.NO_SUCH_VALUE, {"packed_bytes": 128}, -1),
    (Fault.NO_SUCH_VALUE, {"packed_bytes": 0, "flags": 1}, -1),
    (Fault.NO_SUCH_VALUE, {"packed_bytes": 201}, -1),
    (Fault.NO_SUCH_FLAG, {"flags": 2}, -1),
    (Fault.NO_SUCH_BYTE, {"sram_address": SRAM}, -1),
    (Fault.NO_SUCH_BYTE, {"sram_address": SRAM - 40}, -1),
    (Fault.NO_SUCH_ADDRESS, {"dram_address": 1 << 20}, -1),
    (Fault.BUS_ERROR, {"dram_address": (1 << 20) - 4096}, -1),
    (Fault.NO_SUCH_CODE, {"packed_bytes": 140}, -1),
    (Fault.NO_SUCH_CODE, {"packed_bytes": 4000}, -1),
    (Fault.NO_SUCH_CODE, {"flags": 1}, -1),
    (Fault.NO_SUCH_CODE, {}, min(LENGTHS) // 2),
]


@pytest.mark.parametrize(
    ("fault", "changes", "damage"), BAD, ids=[f"{n}-{case[0].name.lower()}" for n, case in enumerate(BAD)]
)
def test_what_is_no_stream_stops_the_core_with_the_emulators_cause(
    fault: Fault, changes: dict[str, int], damage: int
) -> None:
    chip, code = packing_chip(), expand(**changes)
    image = image_of(code, damage)
    with pytest.raises((ProgramError, VerifyError)) as found:
        emulate(decode(code), chip, image.copy())
    assert found.value.cause == fault
    bench, seen = bench_of(chip), image.copy()
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, seen, 20_000)
    assert run.fault is fault
    assert run.fault_offset == len(FIRST)
    assert np.array_equal(seen, image), "the store behind it changed nothing"
    good = expand()
    after, expected = image_of(good), image_of(good)
    emulate(decode(good), chip, expected)
    assert bench.run(len(good), CODE_ADDRESS, after, 20_000).fault is Fault.NONE
    assert np.array_equal(after, expected), "and the core runs again"


def test_a_core_without_a_decoder_has_no_expand() -> None:
    chip, code = small_chip(), expand()
    image = image_of(code)
    with pytest.raises(VerifyError) as found:
        emulate(decode(code), chip, image.copy())
    assert found.value.cause == Fault.ILLEGAL_OPCODE
    bench = bench_of(chip)
    bench.renew()
    assert bench.run(len(code), CODE_ADDRESS, image, 20_000).fault is Fault.ILLEGAL_OPCODE
