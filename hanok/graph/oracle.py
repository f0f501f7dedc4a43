"""ONNX Runtime, set up so that its integer kernels run and its results are repeatable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from hanok.errors import ModelError

Array = npt.NDArray[Any]


def reference_session(
    model: onnx.ModelProto | bytes | str | Path,
    *,
    threads: int = 1,
    optimise: bool = True,
    integer: bool = True,
) -> Any:
    """An onnxruntime.InferenceSession of `model` with deterministic settings.

    integer: fuse signed int8 QDQ groups into integer kernels as on uint8 (x86 leaves them in float32
    unless `session.qdqisint8allowed` is set). optimise=False runs every ONNX operator by itself.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    if integer:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    source = source if isinstance(source, bytes) else str(source)
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot load the model: {_first_line(error)}") from None


def run_onnxruntime(
    model: onnx.ModelProto | bytes | str | Path,
    inputs: Mapping[str, Array],
    fetch: Sequence[str] | None = None,
    *,
    threads: int = 1,
    optimise: bool = True,
    integer: bool = True,
) -> dict[str, Array]:
    """Run `model` once; return the tensors called `fetch` (all graph outputs by default).

    Some legal models break ONNX Runtime's own fusions (a per-channel activation fused into QLinearMatMul);
    those run operator by operator instead.
    """
    try:
        session = reference_session(model, threads=threads, optimise=optimise, integer=integer)
        return run_session(session, inputs, fetch)
    except ModelError:
        if not optimise:
            raise
    session = reference_session(model, threads=threads, optimise=False, integer=integer)
    return run_session(session, inputs, fetch)


def run_session(
    session: Any, inputs: Mapping[str, Array], fetch: Sequence[str] | None = None
) -> dict[str, Array]:
    """Run an open session; missing or ill-shaped inputs are a ModelError."""
    names = list(fetch) if fetch is not None else [output.name for output in session.get_outputs()]
    missing = [value.name for value in session.get_inputs() if value.name not in inputs]
    if missing:
        raise ModelError(f"no value was given for the model's input '{missing[0]}'")
    wanted = {value.name: np.ascontiguousarray(inputs[value.name]) for value in session.get_inputs()}
    wanted = {name: value.reshape(np.shape(inputs[name])) for name, value in wanted.items()}
    try:
        return dict(zip(names, session.run(names, wanted), strict=True))
    except Exception as error:
        raise ModelError(f"ONNX Runtime cannot run the model: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__
