"""Quantisation of float ONNX models: ONNX Runtime's static quantiser, then repair of the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import ModelProto, TensorProto

from hanok.errors import UnsupportedError
from hanok.graph._calibration import Sample, given_samples, random_samples, shapes_in_samples
from hanok.graph._quantise_select import QUANTISED_OPERATORS, Range, keep_float
from hanok.graph._repair import LayerRepair, repair_layers, signal_to_noise_db
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Array, WorkingGraph, from_model, to_model
from hanok.graph.oracle import reference_session, run_session
from hanok.graph.simplify import simplify_float

RANDOM_DATA_WARNING = "no calibration data: seeded random data used; quality figures mean nothing"
_QUANTISED_MARKS = frozenset(
    {QUANTIZE, DEQUANTIZE, "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
)


@dataclass(frozen=True)
class QuantisationRecord:
    """What was done to a model; signal-to-noise ratios are of its outputs against the float model's."""

    samples: int
    random_data: bool
    was_quantised: bool = False
    kept_float: Mapping[str, str] = field(default_factory=dict)
    """Operations of the NPU's own kinds that stay float, by node name, with the reason."""
    repairs: tuple[LayerRepair, ...] = ()
    snr_plain_db: float | None = None
    snr_repaired_db: float | None = None
    repair_used: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuantisedModel:
    """A model in QDQ form and the record of how it came about."""

    model: ModelProto
    record: QuantisationRecord


def is_quantised(model: ModelProto) -> bool:
    """Whether the model has quantised operators already, from whatever quantiser."""
    return any(
        node.op_type in _QUANTISED_MARKS or node.op_type.startswith("QLinear") for node in model.graph.node
    )


def quantise_model(
    model: ModelProto,
    calibration: Mapping[str, Array] | Iterable[Mapping[str, Array]] | None = None,
    *,
    seed: int = 0,
    repair: bool = True,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> QuantisedModel:
    """Bring a float model to int8 QDQ form; a quantised one is returned as it is.

    `calibration` maps input names to arrays of one or several samples along the first axis, or is a
    sequence of single samples. Without it, seeded random data stands in, and the record warns of it.
    Weights get one scale for each output channel, symmetric; activations one scale and zero point.
    Free dimensions of the inputs become static: as `input_shapes` says, else as in the calibration data
    (the first axis apart, if it may hold several samples), else 1.
    """
    if is_quantised(model):
        return QuantisedModel(model, QuantisationRecord(0, False, was_quantised=True))
    if calibration is not None and not isinstance(calibration, Mapping):
        calibration = list(calibration)
    working = prepare_float(model, {**shapes_in_samples(model, calibration), **(input_shapes or {})})
    random_data = calibration is None
    samples = random_samples(working, seed) if calibration is None else given_samples(working, calibration)
    ranges = observe_ranges(working, samples)
    kept_float = keep_float(working, ranges)
    plain = _quantise(working, ranges, kept_float)
    warnings = [RANDOM_DATA_WARNING] if random_data else []
    if not repair:
        record = QuantisationRecord(
            len(samples), random_data, kept_float=kept_float, warnings=tuple(warnings)
        )
        return QuantisedModel(plain, record)
    repaired, repairs = repair_layers(working, plain, samples)
    before = signal_to_noise_db(working, plain, samples)
    after = signal_to_noise_db(working, repaired, samples)
    better = after > before
    if repairs and not better:
        warnings.append(f"repair was undone: it changed the outputs' {before:.2f} dB to {after:.2f} dB")
    record = QuantisationRecord(
        samples=len(samples),
        random_data=random_data,
        kept_float=kept_float,
        repairs=tuple(repairs) if better else (),
        snr_plain_db=before,
        snr_repaired_db=after if better else before,
        repair_used=better,
        warnings=tuple(warnings),
    )
    return QuantisedModel(repaired if better else plain, record)


def prepare_float(model: ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None) -> WorkingGraph:
    """The simplified model with static shapes, every operation with a name of its own."""
    simple = simplify_float(model, input_shapes=input_shapes)
    working = from_model(simple)
    fix_input_shapes(working, simple, None)
    infer_shapes(working)
    taken: dict[str, int] = {}
    for operation in working.operations:
        stem = operation.name or f"{operation.op_type}.{operation.outputs[0]}"
        taken[stem] = taken.get(stem, 0) + 1
        operation.name = stem if taken[stem] == 1 else f"{stem}.{taken[stem]}"
    return working


def observe_ranges(working: WorkingGraph, samples: list[Sample]) -> dict[str, Range]:
    """Smallest and largest value of every float activation over the samples."""
    names = [name for name in working.inputs if working.types.get(name) == TensorProto.FLOAT]
    made = [name for operation in working.operations for name in operation.outputs if name]
    fetch = [name for name in made if working.types.get(name) == TensorProto.FLOAT]
    session = reference_session(to_model(working, outputs=fetch), optimise=False)
    ranges: dict[str, Range] = {}
    for sample in samples:
        values = run_session(session, sample, fetch)
        for name in [*names, *fetch]:
            value = sample[name] if name in sample else values[name]
            if value.size == 0:
                continue
            low, high = float(value.min()), float(value.max())
            old = ranges.get(name, (low, high))
            ranges[name] = (float(np.minimum(old[0], low)), float(np.maximum(old[1], high)))
    return ranges


def _quantise(working: WorkingGraph, ranges: dict[str, Range], kept_float: dict[str, str]) -> ModelProto:
    """Run ONNX Runtime's QDQ quantiser with known ranges, in memory."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    finite = {
        name: (np.float32(low), np.float32(high))
        for name, (low, high) in ranges.items()
        if np.isfinite([low, high]).all()
    }
    source = to_model(working)
    _add_value_types(source, working)
    options = {
        "QDQOpTypePerChannelSupportToAxis": {"MatMul": 1},
        "ForceQuantizeNoInputCheck": True,
        "WeightSymmetric": True,
        "ActivationSymmetric": False,
        "TensorQuantOverrides": _overrides(working),
    }
    with _quiet():
        quantiser = QDQQuantizer(
            source,
            True,  # per_channel
            False,  # reduce_range
            QuantType.QInt8,
            QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, finite),
            [],
            list(kept_float),
            list(QUANTISED_OPERATORS),
            options,
        )
        quantiser.quantize_model()
    return _finish(quantiser.model.model)


def _overrides(working: WorkingGraph) -> dict[str, list[dict[str, bool]]]:
    """Per-tensor weights where ONNX has no form for one scale a channel: grouped ConvTranspose."""
    return {
        operation.inputs[1]: [{"symmetric": True}]
        for operation in working.operations
        if operation.op_type == "ConvTranspose" and operation.integer("group", 1) > 1
    }


def _add_value_types(model: ModelProto, working: WorkingGraph) -> None:
    known = {value.name for value in [*model.graph.input, *model.graph.output]}
    for name, element_type in working.types.items():
        if name not in known and name not in working.constants and name in working.shapes:
            shape = working.shapes[name]
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, element_type, shape))


def _finish(model: ModelProto) -> ModelProto:
    """Sort, drop what nothing needs, and check."""
    working = from_model(model)
    fix_input_shapes(working, model, None)
    working.remove_dead()
    infer_shapes(working)
    working.domains = {name: version for name, version in working.domains.items() if not name}
    return to_model(working)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice off the user's terminal; problems are raised, not logged."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    except (ValueError, RuntimeError, KeyError, AttributeError, TypeError, AssertionError) as error:
        raise UnsupportedError(f"ONNX Runtime's quantiser cannot quantise the model: {error}") from error
    finally:
        root.setLevel(level)
