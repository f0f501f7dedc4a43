"""How vector layers are cut: what a chain takes for nothing decides, and shared-out folds keep every bit."""

from __future__ import annotations

import numpy as np
import pytest
from compiled import check, chip
from qdq_models import QdqModel

from hanok.compiler.pieces import MOST_PARTS, divides_apart, pipelined, window_parts
from hanok.compiler.view import Storage, View
from hanok.isa import Opcode, Step, decode

EDGE = chip("edge")
"""128 lanes, 4 stages: a chain takes 60 cycles for nothing; the DRAM brings 64 bytes a cycle."""


def view(size_bytes: int, resident: bool = False) -> View:
    return View.dense(Storage("x", size_bytes, resident=resident), (1, 1, 1, size_bytes))


def test_pieces_have_as_much_to_do_as_a_chain_takes_for_nothing() -> None:
    moves = [pipelined(EDGE, 64, 64, 0, [view(64 * cycles)]) for cycles in (56, 119, 120, 180, 240, 9999)]
    assert moves == [64, 64, 32, 22, 16, 16]
    assert pipelined(EDGE, 64, 64, 120, []) == 32
    assert pipelined(EDGE, 64, 10, 120, []) == 10
    assert pipelined(EDGE, 64, 64, 0, [view(1 << 20, resident=True)]) == 64


def test_many_rows_are_divided_apart() -> None:
    """A row more takes 24 cycles instead of one; apart, up to 128 of them take 60 in all."""
    found = [divides_apart(EDGE.core.vector, rows, 100) for rows in (1, 2, 3, 4, 60)]
    assert found == [False, False, False, True, True]


def test_few_results_of_long_folds_are_shared_out() -> None:
    """A fold takes 8 cycles an element below 8 results: 8 groups of lanes need no parts."""
    vector = EDGE.core.vector
    assert window_parts(vector, 125, 1, 64) == 8
    assert window_parts(vector, 49, 1, 8 * 128) == 1
    assert window_parts(vector, 3, 3, 64) == 1
    assert window_parts(vector, 1 << 17, 1, 64) == 1
    assert 1 < window_parts(vector, 1 << 15, 2, 64) <= MOST_PARTS


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize(
    ("op_type", "shape", "attributes"),
    [
        ("GlobalAveragePool", (2, 5, 13, 11), {}),
        ("GlobalAveragePool", (1, 64, 3, 45), {}),
        (
            "AveragePool",
            (1, 9, 40, 12),
            {"kernel_shape": [41, 13], "pads": [1, 0, 0, 1]},
        ),
        ("MaxPool", (1, 9, 12, 40), {"kernel_shape": [12, 40], "pads": [1, 0, 0, 1], "strides": [9, 9]}),
        ("MaxPool", (1, 3, 9, 50), {"kernel_shape": [5, 21], "dilations": [2, 2], "strides": [9, 99]}),
    ],
    ids=str,
)
def test_a_window_folded_by_parts_keeps_every_bit(op_type, shape, attributes, unsigned) -> None:
    q = QdqModel(unsigned=unsigned)
    q.output(q.apply(op_type, [q.input(shape, 0.05, 3)], **attributes), 0.05, 3)
    found = check(q.model(), "edge", 1)
    chains = decode(found.program.npu_stages[0].code).records["vector"]
    assert len(chains) == 2 * shape[0]
    assert found.reference_mismatches == 0


def test_a_softmax_divided_apart_keeps_every_bit() -> None:
    q = QdqModel()
    q.output(q.apply("Softmax", [q.input((24, 50), 0.1, 0)], axis=1), 1 / 256, -128)
    found = check(q.model(), "edge", 1)
    code = decode(found.program.npu_stages[0].code)
    divisions = code.records["vector"][np.any(code.records["vector"]["step"] == Step.REVERSE_DIV, axis=1)]
    assert (code.opcode == Opcode.CHAIN).sum() == 5
    assert divisions["inner"].tolist() == [24]
    assert found.reference_mismatches == 0
