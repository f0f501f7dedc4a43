"""Quantisation of float ONNX models: ONNX Runtime's static quantiser, then repair of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from onnx import ModelProto

from hanok.graph._calibration import (
    RANDOM_SAMPLES,
    Sample,
    given_samples,
    random_samples,
    samples_for_rows,
    shapes_in_samples,
)
from hanok.graph._observe import observe_ranges
from hanok.graph._plain_gemm import settle_gemms
from hanok.graph._quantise_onnxruntime import insert_quantisers
from hanok.graph._quantise_select import is_transformer, keep_float
from hanok.graph._quantise_transformer import GOAL_DB, TransformerForm, quantise_transformer
from hanok.graph._repair import LayerRepair, float_outputs, repair_layers, signal_to_noise_db
from hanok.graph._round_weights import narrow_weights
from hanok.graph._shapes import fix_input_shapes, infer_shapes
from hanok.graph._working import DEQUANTIZE, QUANTIZE, Array, WorkingGraph, from_model
from hanok.graph.simplify import simplify_float

GROUP_ROWS = 32
"""Rows that share a grid of sixteen weights: 4.5 bits a weight in memory."""
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
    transformer: TransformerForm | None = None
    """What was done to a transformer's activations; None for other models."""
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
    goal_db: float | None = None,
    weight_bits: int = 8,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> QuantisedModel:
    """Bring a float model to int8 QDQ form; a quantised one is returned as it is.

    `calibration` maps input names to arrays of one or several samples along the first axis, or is a
    sequence of single samples. Without it, seeded random data stands in, and the record warns of it.
    Weights get one scale for each output channel, symmetric; activations one scale and zero point.
    Free dimensions of the inputs become static: as `input_shapes` says, else as in the calibration data
    (the first axis apart, if it may hold several samples), else 1. Of a transformer whose worst output
    is less than `goal_db` (by default GOAL_DB) over its error on these samples, the noisiest operands are
    multiplied in two parts. With `weight_bits` 4, constant matrices are rounded to grids of sixteen weights
    (hanok.numerics.nibble_grids), one for every GROUP_ROWS rows of each column.
    """
    if is_quantised(model):
        return QuantisedModel(model, QuantisationRecord(0, False, was_quantised=True))
    if calibration is not None and not isinstance(calibration, Mapping):
        calibration = list(calibration)
    working = prepare_float(model, {**shapes_in_samples(model, calibration), **(input_shapes or {})})
    random_data = calibration is None
    group_rows = GROUP_ROWS if weight_bits == 4 else 0
    transformer = is_transformer(working)
    count = samples_for_rows(working) if transformer else RANDOM_SAMPLES
    samples = (
        random_samples(working, seed, count) if calibration is None else given_samples(working, calibration)
    )
    record = QuantisationRecord(
        samples=len(samples),
        random_data=random_data,
        warnings=(RANDOM_DATA_WARNING,) if random_data else (),
    )
    if transformer:
        goal = GOAL_DB if goal_db is None else goal_db
        form = quantise_transformer(working, samples, repair=repair, goal_db=goal, group_rows=group_rows)
        return _transformed(form, record)
    ranges = observe_ranges(working, samples)
    kept_float = keep_float(working, ranges)
    record = replace(record, kept_float=kept_float)
    plain = insert_quantisers(working, ranges, kept_float)
    if group_rows:
        plain = narrow_weights(working, plain, group_rows)
    return _repaired(working, plain, samples, record) if repair else QuantisedModel(plain, record)


def _transformed(form: TransformerForm, record: QuantisationRecord) -> QuantisedModel:
    done = replace(
        record,
        kept_float=form.kept_float,
        repairs=form.repairs,
        snr_plain_db=form.snr_plain_db,
        snr_repaired_db=form.snr_repaired_db,
        repair_used=bool(form.repairs),
        transformer=form,
    )
    return QuantisedModel(form.model, done)


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
