"""Float-level simplification of a model, which a quantiser wants done before it looks for scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import ModelProto

from hanok.graph._affine import fold_affine, normalization_to_convolution
from hanok.graph._expand_attention import expand_attention
from hanok.graph._expand_normalization import expand_normalization
from hanok.graph._expand_recurrent import expand_recurrent
from hanok.graph._folding import fold_constants
from hanok.graph._fuse_float import (
    matmul_and_add_to_gemm,
    merge_layout,
    pad_into_convolution,
    remove_nan_guards,
)
from hanok.graph._shapes import fix_input_shapes
from hanok.graph._share_heads import share_heads
from hanok.graph._working import WorkingGraph, from_model, to_model


def simplify_float(
    model: ModelProto, *, input_shapes: Mapping[str, Sequence[int]] | None = None
) -> ModelProto:
    """The same function with static shapes, constants folded and per-channel arithmetic in the weights.

    BatchNormalization and constant Mul, Add, Sub, Div behind Conv, ConvTranspose and Gemm join their weights
    (a BatchNormalization elsewhere becomes a depthwise Conv), MatMul and bias become Gemm, zero Pads join
    Conv; Identity, Dropout, equal Casts and shape arithmetic disappear. Results change by
    float rounding only.
    """
    working = from_model(model)
    fix_input_shapes(working, model, input_shapes)
    fold_constants(working)
    expand_attention(working)
    expand_normalization(working)
    expand_recurrent(working)
    share_heads(working)
    fuse_float(working)
    fold_constants(working)
    return to_model(working)


def fuse_float(working: WorkingGraph) -> None:
    """Apply the float-level rewrites until none finds anything."""
    while True:
        changed = matmul_and_add_to_gemm(working)
        changed |= remove_nan_guards(working)
        changed |= pad_into_convolution(working)
        changed |= fold_affine(working)
        changed |= normalization_to_convolution(working)
        changed |= merge_layout(working)
        if not changed:
            return
