"""From an ONNX model to the typed graph: static shapes, folding, Q and DQ beside operators, conversion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import ModelProto

from hanok.errors import ModelError
from hanok.graph._affine import affine_to_quantized_convolution, fold_affine
from hanok.graph._borders import normalise_borders
from hanok.graph._convert import convert
from hanok.graph._expand_attention import expand_attention
from hanok.graph._expand_normalization import expand_normalization
from hanok.graph._expand_recurrent import expand_recurrent
from hanok.graph._folding import fold_constants
from hanok.graph._fuse_float import matmul_and_add_to_gemm, merge_layout, remove_nan_guards
from hanok.graph._qoperators import expand_quantized_operators
from hanok.graph._raw import wrap_raw_readers
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import from_model
from hanok.graph.ir import Graph
from hanok.graph.load import MALFORMED


def import_graph(model: ModelProto, *, input_shapes: Mapping[str, Sequence[int]] | None = None) -> Graph:
    """Import a checked model (see load_model) with static shapes.

    Dimensions that the model leaves free are 1 unless `input_shapes` names the input.
    """
    try:
        return _import(model, input_shapes)
    except MALFORMED as error:
        name = model.graph.name or "model"
        raise ModelError(f"{name}: cannot be imported: {type(error).__name__}: {str(error)[:200]}") from error


def _import(model: ModelProto, input_shapes: Mapping[str, Sequence[int]] | None) -> Graph:
    working = from_model(model)
    fix_input_shapes(working, model, input_shapes)
    expand_quantized_operators(working)
    fold_constants(working)
    expand_attention(working)
    expand_normalization(working)
    expand_recurrent(working)
    remove_nan_guards(working)
    matmul_and_add_to_gemm(working)
    fold_affine(working)
    merge_layout(working)
    wrap_raw_readers(working)
    normalise_borders(working)
    if affine_to_quantized_convolution(working):
        normalise_borders(working)
    infer_shapes(working)
    return convert(working)
