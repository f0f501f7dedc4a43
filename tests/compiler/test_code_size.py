"""The code of a compiled network: each instruction takes what its change takes, and all of it little."""

from __future__ import annotations

import numpy as np

from hanok.compiler.pipeline import compile_graph
from hanok.graph import import_graph
from hanok.graph.quantise import quantise_model
from hanok.graph.topologies import ds_cnn
from hanok.isa import Decoded, decode
from hanok.isa.table import BY_OPCODE, Opcode
from hanok.machine import Chip


def least_sizes(decoded: Decoded) -> list[int]:
    """Header, bitmap and the fewer of changed and non-zero words, from the records one after the other."""
    last: dict[tuple[int, str], np.ndarray] = {}
    sizes = []
    for index in range(len(decoded)):
        name = BY_OPCODE[Opcode(int(decoded.opcode[index]))].format.name
        words = np.frombuffer(decoded.record(index).tobytes(), "<u4")[1:]
        before = last.get((int(decoded.unit[index]), name), np.zeros_like(words))
        last[int(decoded.unit[index]), name] = words
        count = min(np.count_nonzero(words != before), np.count_nonzero(words))
        sizes.append(4 + (8 if name == "vector" else 4) + 4 * count)
    return sizes


def test_a_networks_code_is_its_changes():
    """Tiles of one layer differ in addresses and, at its ends, in extents: a sixth of a record or less.

    Most instructions are tiles: a third of all record bytes is a bound with room for the layers' first ones.
    """
    graph = import_graph(quantise_model(ds_cnn(frames=25, channels=32, blocks=2), repair=False).model)
    program = compile_graph(graph, Chip.load("u55-64"))
    for stage in program.npu_stages:
        decoded = decode(stage.code)
        assert decoded.size_bytes.tolist() == least_sizes(decoded)
        assert 3 * len(stage.code) < sum(records.nbytes for records in decoded.records.values())
        assert stage.code_address % 64 == 0
