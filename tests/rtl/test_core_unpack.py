"""Weights of four bits in the whole core: programs with UNPACK in gates and in the models."""

from __future__ import annotations

import numpy as np
import pytest
from core_bench import bench_of, small_chip
from core_programs import CODE_ADDRESS, HALF, memory_image
from expand_programs import STREAMS, UNPACK_CORNERS, run_packed
from qdq_models import QdqModel, random_feeds
from unpack_streams import NibbleStream, random_stream

from hanok.compiler.pipeline import compile_graph
from hanok.errors import ProgramError, VerifyError
from hanok.flows.cosim import cosimulate
from hanok.graph import import_graph
from hanok.isa import Opcode, Unit, decode, encode
from hanok.isa.faults import Fault
from hanok.machine import Chip
from hanok.simulator import emulate

SHAPES: list[dict[str, int]] = [
    {"expand_lanes": 4},
    {"columns": 48},
    {"expand_lanes": 64, "columns": 16, "width": 32, "outstanding": 1},
    {"width": 4, "columns": 8, "rows": 4, "bank_bytes": 1024, "outstanding": 9},
    {"width": 64, "columns": 32, "rows": 8, "bank_bytes": 1024},
]


def unpacking_chip(**sizes: int) -> Chip:
    return small_chip(**{"int4": 1, **sizes})


def test_random_programs_agree_in_every_bit_and_cycle() -> None:
    reached = run_packed(unpacking_chip(expand_lanes=4), seed=1, programs=40, most=8)
    assert [corner for corner in UNPACK_CORNERS if not reached[corner]] == []


def test_a_model_with_weights_of_four_bits_agrees_in_every_bit_and_cycle() -> None:
    """Two products whose weights the compiler finds on grids."""
    random, model = np.random.default_rng(6), QdqModel()
    value = model.input((3, 32), 0.05)
    for _ in range(2):
        weights = random.integers(-8, 8, (32, 32)).astype(np.int8) * np.int8(9)
        value = model.apply("MatMul", [value, model.weight(weights, 0.001)])
        value = model.dequantize(model.quantize(value, 0.02), 0.02)
    model.output(value, 0.02)
    graph = import_graph(model.model())
    program = compile_graph(graph, unpacking_chip(expand_lanes=4))
    assert np.sum(decode(program.npu_stages[0].code).opcode == Opcode.UNPACK) > 1
    record = cosimulate(program, random_feeds(graph, 1))
    assert record.stages
    assert record.equal, [stage for stage in record.stages if not stage.equal]


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SHAPES)
def test_random_programs_on_other_shapes(sizes: dict[str, int]) -> None:
    run_packed(unpacking_chip(**sizes), seed=2, programs=60, most=20)


ONCE = dict.fromkeys(("count_1", "count_2", "count_3"), 1)
STREAM = random_stream(np.random.default_rng(1), 8, 4, group_rows=8, groups=3)
FIRST = encode(Opcode.FILL, {"run_bytes": 8, "sram_address": 0, "value": 1, **ONCE})


def unpack(stream: NibbleStream, **changes: int) -> bytes:
    """An UNPACK with its changes, behind FIRST, and a store of what must not be seen."""
    values = {
        "run_bytes": stream.run_bytes,
        "packed_bytes": len(stream.content),
        "group_rows": stream.group_rows,
        "dram_address": STREAMS,
        "sram_address": 1000,
        **ONCE,
    }
    store = {"run_bytes": 64, "sram_address": 1000, "dram_address": HALF, **ONCE}
    packed = encode(Opcode.UNPACK, {**values, "post": 2, **changes})
    return FIRST + packed + encode(Opcode.STORE, {**store, "wait": 1})


def image_of(code: bytes, stream: NibbleStream) -> np.ndarray:
    image = memory_image(np.random.default_rng(1), code)
    image[STREAMS : STREAMS + len(stream.content)] = np.frombuffer(stream.content, np.uint8)
    return image


SRAM = unpacking_chip().core.sram.total_bytes
GROUP = STREAM.group_bytes
BAD: list[tuple[Fault, dict[str, int]]] = [
    (Fault.ZERO_LENGTH, {"run_bytes": 0}),
    (Fault.NO_SUCH_VALUE, {"count_1": 2}),
    (Fault.NO_SUCH_VALUE, {"count_2": 2}),
    (Fault.NO_SUCH_VALUE, {"count_3": 1 << 31}),
    (Fault.NO_SUCH_VALUE, {"group_rows": 0}),
    (Fault.NO_SUCH_VALUE, {"group_rows": 6}),
    (Fault.NO_SUCH_VALUE, {"dram_address": STREAMS + 4}),
    (Fault.NO_SUCH_VALUE, {"packed_bytes": 0}),
    (Fault.NO_SUCH_VALUE, {"packed_bytes": len(STREAM.content) - 4}),
    (Fault.NO_SUCH_FLAG, {"flags": 1}),
    (Fault.NO_SUCH_BYTE, {"sram_address": SRAM}),
    (Fault.NO_SUCH_BYTE, {"sram_address": SRAM - 40}),
    (Fault.NO_SUCH_ADDRESS, {"dram_address": 1 << 20}),
    (Fault.BUS_ERROR, {"dram_address": (1 << 20) - 4096}),
    (Fault.NO_SUCH_CODE, {"packed_bytes": 8}),
    (Fault.NO_SUCH_CODE, {"packed_bytes": len(STREAM.content) - 8}),
    (Fault.NO_SUCH_CODE, {"packed_bytes": len(STREAM.content) - GROUP}),
    (Fault.NO_SUCH_CODE, {"packed_bytes": len(STREAM.content) + GROUP}),
    (Fault.NO_SUCH_CODE, {"packed_bytes": 4000}),
    (Fault.NO_SUCH_CODE, {"group_rows": 12}),
    (Fault.NO_SUCH_CODE, {"run_bytes": STREAM.run_bytes - 16}),
    (Fault.NO_SUCH_CODE, {"run_bytes": STREAM.run_bytes + 1}),
    (Fault.NO_SUCH_CODE, {"run_bytes": 1}),
]


@pytest.mark.parametrize(
    ("fault", "changes"), BAD, ids=[f"{n}-{case[0].name.lower()}" for n, case in enumerate(BAD)]
)
def test_what_is_no_stream_stops_the_core_with_the_emulators_cause(
    fault: Fault, changes: dict[str, int]
) -> None:
    chip, code = unpacking_chip(expand_lanes=4), unpack(STREAM, **changes)
    image = image_of(code, STREAM)
    with pytest.raises((ProgramError, VerifyError)) as found:
        emulate(decode(code), chip, image.copy())
    assert found.value.cause == fault  # type: ignore[attr-defined]
    bench, seen = bench_of(chip), image.copy()
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, seen, 20_000)
    assert run.fault is fault
    assert run.fault_offset == len(FIRST)
    assert np.array_equal(seen, image), "the store behind it changed nothing"
    good = unpack(STREAM)
    after, expected = image_of(good, STREAM), image_of(good, STREAM)
    expected[HALF : HALF + 64] = STREAM.weights.reshape(-1).view(np.uint8)[:64]
    assert bench.run(len(good), CODE_ADDRESS, after, 20_000).fault is Fault.NONE
    assert np.array_equal(after, expected), "and the core runs again"


def test_a_core_without_an_unpacker_has_no_unpack() -> None:
    chip, code = small_chip(), unpack(STREAM)
    image = image_of(code, STREAM)
    with pytest.raises(VerifyError) as found:
        emulate(decode(code), chip, image.copy())
    assert found.value.cause == Fault.ILLEGAL_OPCODE
    bench = bench_of(chip)
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, image, 20_000)
    assert run.fault is Fault.ILLEGAL_OPCODE
    assert run.fault_offset == len(FIRST)


@pytest.mark.parametrize("name", ["no fault", "no stream", "outside"])
def test_a_fault_is_that_of_the_beat_between_those_of_neighbours(name: str) -> None:
    """Small loads have their lines before the long one in front of them has written its runs."""
    chip = unpacking_chip(expand_lanes=4)
    small = {"run_bytes": 8, "dram_address": 4096, "sram_address": 1000, **ONCE}
    middle, fault = {
        "no fault": (encode(Opcode.LOAD, small), Fault.NONE),
        "no stream": (
            encode(Opcode.UNPACK, {**small, "packed_bytes": 8, "group_rows": 4}),
            Fault.NO_SUCH_CODE,
        ),
        "outside": (encode(Opcode.LOAD, {**small, "sram_address": SRAM - 4}), Fault.NO_SUCH_BYTE),
    }[name]
    long = {**small, "run_bytes": 24, "count_1": 20}
    before = encode(Opcode.LOAD, long) + encode(Opcode.LOAD, small)
    code = before + middle + encode(Opcode.LOAD, small)
    bench = bench_of(chip)
    bench.renew()
    run = bench.run(len(code), CODE_ADDRESS, memory_image(np.random.default_rng(1), code), 20_000)
    assert run.fault is fault
    if fault is Fault.NONE:
        assert np.diff(run.ended[Unit.LOAD]).tolist() == [1, 1, 1]
    else:
        assert run.fault_offset == len(before)
