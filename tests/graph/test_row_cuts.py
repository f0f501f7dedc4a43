"""Which activations count as cut into rows, whose products then share one range, and which do not."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hanok.graph._clip_ranges import share_ranges
from hanok.graph._row_cuts import row_cuts
from hanok.graph.quantise import prepare_float


def sliced(shape: tuple[int, ...], axis: int, cuts: list[tuple[int, int]]) -> ModelProto:
    """Slices of one activation, each of them the left operand of a product with another one."""
    nodes, constants, outputs = [helper.make_node("Sigmoid", ["x"], ["whole"])], [], []
    for number, (start, end) in enumerate(cuts):
        bounds = [f"{name}.{number}" for name in ("start", "end", "axis")]
        constants += [
            numpy_helper.from_array(np.array([value]), name)
            for name, value in zip(bounds, (start, end, axis), strict=True)
        ]
        nodes.append(helper.make_node("Slice", ["whole", *bounds], [f"part.{number}"]))
        nodes.append(helper.make_node("MatMul", [f"part.{number}", f"y.{number}"], [f"made.{number}"]))
        outputs.append(helper.make_tensor_value_info(f"made.{number}", TensorProto.FLOAT, None))
    wide = [shape[-1] if axis != len(shape) - 1 else end - start for start, end in cuts]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)] + [
        helper.make_tensor_value_info(f"y.{number}", TensorProto.FLOAT, (size, 3))
        for number, size in enumerate(wide)
    ]
    graph = helper.make_graph(nodes, "sliced", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("axis", "cuts", "counts"),
    [
        (1, [(0, 4), (4, 9)], True),
        (1, [(0, 4), (0, 9)], True),
        (1, [(0, 4), (4, 8)], False),
        (1, [(0, 9)], False),
        (0, [(0, 1), (1, 2), (2, 3)], False),
        (2, [(0, 4), (4, 8)], False),
    ],
    ids=["apart", "overlapping", "not all", "one", "queries, keys, values", "columns"],
)
def test_rows_of_one_activation_share_a_range(axis: int, cuts: list[tuple[int, int]], counts: bool) -> None:
    working = prepare_float(sliced((3, 9, 8), axis, cuts))
    parts = [f"part.{number}" for number in range(len(cuts))]
    assert set(row_cuts(working)) == ({"whole"} if counts else set())
    ranges = {name: (0.25 / (number + 1), 0.5 * (number + 1)) for number, name in enumerate(parts)}
    shared = share_ranges(working, ranges)
    if counts:
        assert {shared[name] for name in parts} == {(0.125, 1.0)}
    else:
        assert shared == ranges
