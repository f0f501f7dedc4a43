"""Exact products: every backend against int64, the hand-encoded model against the ONNX parser."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hanok.simulator import gemm


def saturating_product(activations: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What a processor without VNNI does: sums of two neighbours saturate at 16 bits."""
    wide = activations.astype(np.int64)[:, :, None] * weights.astype(np.int64)[None]
    if wide.shape[1] % 2:
        wide = np.pad(wide, ((0, 0), (0, 1), (0, 0)))
    pairs = np.clip(wide[:, 0::2] + wide[:, 1::2], -32768, 32767)
    return (pairs.sum(axis=1) - gemm.OFFSET * weights.sum(axis=0, dtype=np.int64)).astype(np.int32)


def test_model_is_what_onnx_writes() -> None:
    model = onnx.load_from_string(gemm.product_model())
    onnx.checker.check_model(model)
    (node,) = model.graph.node
    assert (node.op_type, list(node.input), list(node.output)) == ("MatMulInteger", ["a", "b", "zero"], ["y"])
    types = [value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)]
    assert types == [onnx.TensorProto.UINT8, onnx.TensorProto.INT8, onnx.TensorProto.INT32]
    assert onnx.numpy_helper.to_array(model.graph.initializer[0]).tolist() == gemm.OFFSET


@pytest.mark.parametrize("product", [gemm.best_product(), gemm.blas_product, gemm.loop_product])
@pytest.mark.parametrize("depth", [1, 27, 1024, 1025, 4608])
def test_products_are_exact(product: gemm.Product, depth: int) -> None:
    rng = np.random.default_rng(depth)
    for extreme in (False, True):
        activations = rng.integers(0, 256, (37, depth)).astype(np.uint8)
        weights = rng.integers(-128, 128, (depth, 19)).astype(np.int8)
        if extreme:
            activations[:] = rng.choice([0, 255])
            weights[:] = -128
        expected = (activations.astype(np.int64) - 128) @ weights.astype(np.int64)
        assert np.array_equal(product(activations, weights), expected)


def test_saturation_is_noticed() -> None:
    assert gemm.is_exact(gemm.blas_product)
    assert not gemm.is_exact(saturating_product)


def test_an_inexact_backend_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemm, "runtime_product", lambda: saturating_product)
    assert gemm.best_product.__wrapped__() is gemm.blas_product
    monkeypatch.setattr(gemm, "blas_product", saturating_product)
    assert gemm.best_product.__wrapped__() is gemm.loop_product
