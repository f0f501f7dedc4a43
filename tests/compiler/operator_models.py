"""Seeded random QDQ models, one operator or one pattern each, for the compiler's tests."""

from __future__ import annotations

import numpy as np
from models_layout import LAYOUT
from models_matrix import MATRIX
from models_pattern import PATTERN
from models_vector import BROADCASTS, VECTOR, binary
from onnx import ModelProto
from qdq_models import QdqModel

MODELS = MATRIX | VECTOR | LAYOUT | PATTERN
"""Name -> builder, and whether ONNX Runtime gives the same in every bit."""

__all__ = ["BROADCASTS", "MODELS", "binary", "build_model"]


def build_model(name: str, seed: int, unsigned: bool) -> ModelProto:
    """The seeded ONNX model of a row of MODELS."""
    q = QdqModel(unsigned=unsigned)
    MODELS[name][0](q, np.random.default_rng(seed))
    return q.model()
