"""Every operator from ONNX to its bits: compiled, emulated, held against the reference and ONNX Runtime."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from compiled import check
from model_parts import finish
from operator_models import BROADCASTS, MODELS, binary, build_model
from qdq_models import QdqModel

ON_HOST = {"host in the middle": ["LpNormalization"], "float island": ["LpNormalization"]}
ORDERS = ("program", "eager:store,vector,matrix,load", "eager:load,matrix,vector,store", "random:5")
PRESETS = ("nano", "u55-64", "edge", "odd packed")


@pytest.mark.parametrize("name", MODELS)
def test_model_is_computed_bit_for_bit(name: str) -> None:
    exact = MODELS[name][1]
    for seed, unsigned in product(range(2), (False, True)):
        model = build_model(name, seed, unsigned)
        for chip_name in ("odd", PRESETS[2 * seed + unsigned]):
            found = check(model, chip_name, seed)
            where = f"{name}, seed {seed}, unsigned {unsigned}, {chip_name}"
            assert found.on_host == ON_HOST.get(name, []), where
            assert found.reference_mismatches == 0, where
            assert found.onnxruntime_steps <= (0 if exact else 1), where
            assert found.onnxruntime_mismatches <= max(2, found.elements // 100), where


@pytest.mark.parametrize("name", MODELS)
def test_model_is_the_same_one_instruction_at_a_time_in_any_order(name: str) -> None:
    model = build_model(name, 3, False)
    for order in ORDERS:
        found = check(model, "odd", 3, mode="stepwise", trap=True, order=order)
        assert found.reference_mismatches == 0, (name, order)


@pytest.mark.parametrize("kind", BROADCASTS)
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
def test_operands_broadcast(op_type: str, kind: str) -> None:
    for number, (swapped, constant) in enumerate(product((False, True), repeat=2)):
        q = QdqModel(unsigned=number % 2 == 1)
        binary(op_type, kind, swapped, constant)(q, np.random.default_rng(number))
        found = check(q.model(), "odd", number)
        assert found.on_host == []
        assert found.reference_mismatches == 0
        assert found.onnxruntime_steps <= 1


def test_a_pad_before_a_convolution_of_the_host_is_made() -> None:
    q, rng = QdqModel(), np.random.default_rng(0)
    x, w = q.input((1, 3, 6, 7), 0.05, 3), q.input((4, 3, 3, 3), 0.01)
    pads = q.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
    padded = q.dequantize(q.quantize(q.apply("Pad", [x, pads]), 0.05, 3), 0.05, 3)
    finish(q, rng, q.apply("Conv", [padded, w]))
    found = check(q.model(), "odd")
    assert found.on_host == ["Conv"]
    assert found.reference_mismatches == 0


def test_neighbouring_pixels_on_the_array_are_written_apart_into_a_concatenation() -> None:
    """A Conv of few channels computes neighbouring pixels; in the concatenation they lie apart."""
    found = check(build_model("concat between convolutions", 1, False), "edge", 1)
    assert any("3 pixels side by side" in layer.mapping for layer in found.program.layers)
    assert found.reference_mismatches == 0
