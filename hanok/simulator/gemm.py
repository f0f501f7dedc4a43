"""Exact int8 matrix products: the backends, the test that each is exact here, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt
import onnxruntime

from hanok.numerics import wrap_int32
from hanok.simulator._kernels_values_product import multiply_loops

Bytes = npt.NDArray[np.uint8]
Signed = npt.NDArray[np.int8]
Sums = npt.NDArray[np.int32]
Product = Callable[[Bytes, Signed], Sums]
"""(activations + 128 as uint8 [M, K], weights [K, N]) -> activations @ weights, wrapped to int32 [M, N]."""

OFFSET = 128
EXACT_DEPTH = 1024
"""128 * 128 * 1024 = 2**24: every partial sum of so many products is an integer that float32 holds."""

_UINT8, _INT8, _INT32 = 2, 3, 6
"""Element types of ONNX tensors."""


def _varint(value: int) -> bytes:
    low = value & 0x7F
    return bytes([low]) if value < 0x80 else bytes([low | 0x80]) + _varint(value >> 7)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _value(field: int, name: bytes, element: int, *dimensions: bytes) -> bytes:
    shape = _message(2, *(_message(1, _message(2, dimension)) for dimension in dimensions))
    return _message(field, _message(1, name), _message(2, _message(1, _number(1, element), shape)))


def product_model() -> bytes:
    """An ONNX model of MatMulInteger, by onnx.proto field numbers: (a uint8 [m, k] - 128) @ b int8 [k, n]."""
    node = _message(
        1,
        *(_message(1, name) for name in (b"a", b"b", b"zero")),
        _message(2, b"y"),
        _message(4, b"MatMulInteger"),
    )
    zero = _message(5, _number(2, _UINT8), _message(8, b"zero"), _message(9, bytes([OFFSET])))
    graph = _message(
        7,
        node,
        _message(2, b"product"),
        zero,
        _value(11, b"a", _UINT8, b"m", b"k"),
        _value(11, b"b", _INT8, b"k", b"n"),
        _value(12, b"y", _INT32, b"m", b"n"),
    )
    return _number(1, 8) + graph + _message(8, _message(1, b""), _number(2, 10))


def runtime_product() -> Product:
    """ONNX Runtime's MatMulInteger on one thread; its fast uint8 x int8 form may saturate, so it is tried."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(product_model(), options, providers=["CPUExecutionProvider"])
    run = session.run

    def multiply(activations: Bytes, weights: Signed) -> Sums:
        result: Sums = run(("y",), {"a": activations, "b": weights})[0]
        return result

    return multiply


def blas_product(activations: Bytes, weights: Signed) -> Sums:
    """NumPy's float32 product in exact parts."""
    total = np.zeros((len(activations), weights.shape[1]), np.int64)
    for first in range(0, weights.shape[0], EXACT_DEPTH):
        part = slice(first, first + EXACT_DEPTH)
        left = activations[:, part].astype(np.float32) - np.float32(OFFSET)
        total += (left @ weights[part].astype(np.float32)).astype(np.int64)
    return wrap_int32(total)


def loop_product(activations: Bytes, weights: Signed) -> Sums:
    """Integer loops in Numba: slow, and right on every processor."""
    total = np.zeros((len(activations), weights.shape[1]), np.int32)
    multiply_loops(activations, np.ascontiguousarray(weights), total)
    return total


def is_exact(product: Product) -> bool:
    """Whether a backend gives the right sums where saturation, padding and order would show."""
    generator = np.random.default_rng(0)
    for rows, depth, columns in ((1, 3, 1), (7, 64, 16), (65, 1153, 33), (130, 2304, 128)):
        extremes = np.array([0, 1, 255], np.uint8)
        activations = generator.choice(extremes, (rows, depth), p=[0.2, 0.1, 0.7])
        weights = generator.choice(np.array([-128, -127, 127], np.int8), (depth, columns), p=[0.1, 0.1, 0.8])
        signed = activations.astype(np.int64) - OFFSET
        if not np.array_equal(product(activations, weights), wrap_int32(signed @ weights.astype(np.int64))):
            return False
    return True


@cache
def best_product() -> Product:
    """The fastest backend that is exact on this processor; tried once in a process."""
    fast = runtime_product()
    if is_exact(fast):
        return fast
    return blas_product if is_exact(blas_product) else loop_product
