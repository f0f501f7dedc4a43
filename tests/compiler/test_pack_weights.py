"""Packed weights: the same values as plain ones in fewer bytes and cycles, and the choice between the two."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import run_program
from qdq_models import QdqModel, random_feeds

from hanok.compiler.pack_weights import WeightPacker, packing_pays
from hanok.compiler.pipeline import compile_graph, dram_bytes_per_cycle
from hanok.graph import Graph, import_graph
from hanok.isa import Opcode, Program, decode
from hanok.isa.table import FLAG_KEEP_CODE
from hanok.machine import Chip
from hanok.numerics import huffman
from hanok.simulator.engine import simulate

NAMES = ("narrow", "alike", "wide", "zeros")


def with_lanes(name: str, lanes: int) -> Chip:
    content = Chip.load(name).model_dump()
    content["core"]["dma"]["expand_lanes"] = lanes
    return Chip.from_dict(content, name)


def network() -> Graph:
    """Four 3x3 convolutions: weights of a few bits, the same shuffled, any bytes, mostly zeros."""
    rng, model = np.random.default_rng(5), QdqModel()
    value = model.input((1, 32, 6, 6), 0.05)
    narrow = np.rint(rng.normal(0, 4, (32, 32, 3, 3)))
    kinds = (narrow, rng.permuted(narrow), rng.integers(-127, 128, narrow.shape), narrow * (narrow > 7))
    for weights in kinds:
        value = model.apply("Conv", [value, model.weight(weights.astype(np.int8), 0.01)], pads=[1, 1, 1, 1])
        value = model.dequantize(model.quantize(value, 0.1), 0.1)
    model.output(value, 0.1)
    return import_graph(model.model())


def loads(program: Program) -> tuple[np.ndarray, np.ndarray]:
    """The opcodes of all DMA instructions, and those of the EXPANDs' flags."""
    records = decode(program.npu_stages[0].code).records["dma"]
    return records["opcode"], records["flags"][records["opcode"] == Opcode.EXPAND]


def cycles(program: Program) -> tuple[int, int]:
    stage = program.npu_stages[0]
    timing = simulate(stage.code, program.chip, code_address=stage.code_address)
    return timing.cycles, timing.load_bytes


@pytest.mark.parametrize("lanes", [4, 8, 64])
def test_packed_weights_give_the_same_values_in_fewer_cycles(lanes: int) -> None:
    graph = network()
    plain = compile_graph(graph, with_lanes("u55-64", 0))
    packed = compile_graph(graph, with_lanes("u55-64", lanes))
    feeds = random_feeds(graph, 1)
    expected = run_program(plain, feeds)
    for mode in ("fast", "stepwise"):
        found = run_program(packed, feeds, mode)
        assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert Opcode.EXPAND not in loads(plain)[0]
    ends = 0.15 if lanes == 64 else 0.0  # of 320 streams, each two or three bytes a blob
    assert cycles(packed)[0] < (0.75 + ends) * cycles(plain)[0]
    assert cycles(packed)[1] < (0.7 + ends) * cycles(plain)[1]
    assert len(packed.constants) < (0.7 + ends) * len(plain.constants)


def test_layers_alike_share_a_table_and_wide_weights_stay_plain() -> None:
    """The second layer's weights go by the first one's table; uniform ones are not packed at all."""
    program = compile_graph(network(), with_lanes("u55-64", 8))
    mappings = {name: layer.mapping for name, layer in zip(NAMES, program.layers, strict=True)}
    assert ["packed to" in mapping for mapping in mappings.values()] == [True, True, False, True]
    assert np.sum((loads(program)[1] & FLAG_KEEP_CODE) == 0) == 2
    raw = 32 * 32 * 9 + 4 * 32
    narrow, alike, wide, zeros = (layer.compulsory_bytes for layer in program.layers)
    assert zeros < alike < narrow < 0.7 * raw < raw <= wide


def test_compulsory_bytes_are_really_loaded() -> None:
    for lanes in (0, 8):
        program = compile_graph(network(), with_lanes("u55-64", lanes))
        assert sum(layer.compulsory_bytes for layer in program.layers) <= cycles(program)[1] + 32 * 36


@pytest.mark.parametrize("name", ["edge", "server", "gemmini-16"])
def test_no_weights_are_packed_where_dram_is_faster_than_the_decoder(name: str) -> None:
    chip = with_lanes(name, 8)
    assert not packing_pays(chip, dram_bytes_per_cycle(chip))
    program = compile_graph(network(), chip)
    assert Opcode.EXPAND not in loads(program)[0]


def test_compilation_is_the_same_each_time() -> None:
    first, second = (compile_graph(network(), with_lanes("u55-64", 8)) for _ in range(2))
    assert first.constants == second.constants
    assert first.npu_stages[0].code == second.npu_stages[0].code


def test_a_blob_is_packed_only_where_that_is_sooner() -> None:
    """541 cycles for a table, and words of 40 streams, against DRAM: few bytes are sooner as they are."""
    packer = WeightPacker(with_lanes("u55-64", 8), 0.85)
    content = bytes(4000)
    table = huffman.table_of(huffman.code_lengths(huffman.histogram(np.frombuffer(content, np.uint8))))
    words = packer.pack(content, table)
    assert len(words) == 40 * 2 * 7, "each of 40 streams has 100 bits"
    assert packer.pack(bytes(100), table) == b""
    packer.held = table
    assert packer.pack(bytes(100), table) != b""
    assert packer.pack(bytes(25), table) == b""
    assert packer.pack(b"\x01" * 4000, table) == b""
