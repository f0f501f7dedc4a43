"""Quantisation of float ONNX models: ONNX Runtime's static quantiser, then repair of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import ModelProto

from hanok.graph._calibration import Sample, given_samples, random_samples, shapes_in_samples
from hanok.graph._pieces import forget, last_readers, run_piece
from hanok.graph._plain_gemm import settle_gemms
from hanok.graph._quantise_onnxruntime import insert_quantisers
from hanok.graph._quantise_select import Range, is_transformer, keep_float
from hanok.graph._repair import LayerRepair, float_outputs, repair_layers, signal_to_noise_db
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Array, WorkingGraph, from_model
from hanok.graph.simplify import simplify_float

RANDOM_DATA_WARNING = "no calibration data: seeded random data used; quality figures mean nothing"
PIECE_BYTES = 64 << 20
"""Activations of one sample that are looked at together."""
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
    plain = insert_quantisers(working, ranges, kept_float, is_transformer(working))
    record = QuantisationRecord(
        samples=len(samples),
        random_data=random_data,
        kept_float=kept_float,
        warnings=(RANDOM_DATA_WARNING,) if random_data else (),
    )
    return _repaired(working, plain, samples, record) if repair else QuantisedModel(plain, record)


def _repaired(
    working: WorkingGraph, plain: ModelProto, samples: list[Sample], record: QuantisationRecord
) -> QuantisedModel:
    """Repair the weights, and keep that only if the outputs come nearer to the float model's."""
    repaired, repairs = repair_layers(working, plain, samples)
    wanted = float_outputs(working, samples)
    before, after = (signal_to_noise_db(wanted, model, samples) for model in (plain, repaired))
    if after > before:
        done = replace(
            record, repairs=tuple(repairs), snr_plain_db=before, snr_repaired_db=after, repair_used=True
        )
        return QuantisedModel(repaired, done)
    return QuantisedModel(plain, replace(record, snr_plain_db=before, snr_repaired_db=before))


def prepare_float(model: ModelProto, input_shapes: Mapping[str, Sequence[int]] | None = None) -> WorkingGraph:
    """The simplified model with static shapes, plain Gemms, and every operation with a name of its own."""
    simple = simplify_float(model, input_shapes=input_shapes)
    working = from_model(simple)
    fix_input_shapes(working, simple, None)
    infer_shapes(working)
    settle_gemms(working)
    infer_shapes(working)
    taken: dict[str, int] = {}
    for operation in working.operations:
        stem = operation.name or f"{operation.op_type}.{operation.outputs[0]}"
        taken[stem] = taken.get(stem, 0) + 1
        operation.name = stem if taken[stem] == 1 else f"{stem}.{taken[stem]}"
    return working


def observe_ranges(working: WorkingGraph, samples: list[Sample]) -> dict[str, Range]:
    """Smallest and largest value of every float activation over the samples."""
    values = [dict(sample) for sample in samples]
    ranges: dict[str, Range] = {}
    _widen(ranges, values, working.inputs)
    readers = last_readers(working.operations)
    start = 0
    for end in _piece_ends(working):
        piece = working.operations[start:end]
        made = [name for operation in piece for name in operation.outputs if name]
        run_piece(working, piece, {}, values, made)
        _widen(ranges, values, made)
        forget(values, readers, end)
        start = end
    return ranges


def _piece_ends(working: WorkingGraph) -> list[int]:
    """Cuts that keep the outputs of each piece within PIECE_BYTES."""
    ends, held = [], 0
    for index, operation in enumerate(working.operations):
        made = sum(4 * int(np.prod(working.shapes.get(name, ()))) for name in operation.outputs)
        if held and held + made > PIECE_BYTES:
            ends.append(index)
            held = 0
        held += made
    return [*ends, len(working.operations)]


def _widen(ranges: dict[str, Range], values: list[dict[str, Array]], names: list[str]) -> None:
    for name in names:
        for value in values:
            if value[name].dtype != np.float32 or value[name].size == 0:
                continue
            low, high = float(value[name].min()), float(value[name].max())
            old = ranges.get(name, (low, high))
            ranges[name] = (float(np.minimum(old[0], low)), float(np.maximum(old[1], high)))
