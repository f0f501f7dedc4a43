"""Quantisation of transformers: operands of products become int8 after they were made easy to quantise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from operator import itemgetter

from onnx import ModelProto

from hanok.graph._calibration import Sample
from hanok.graph._clip_ranges import clip_ranges, share_ranges
from hanok.graph._even_rows import even_rows
from hanok.graph._observe import observe_ranges
from hanok.graph._quantise_onnxruntime import insert_quantisers
from hanok.graph._quantise_select import PRODUCTS, Range, keep_float
from hanok.graph._repair import LayerRepair, float_outputs, repair_layers, signal_to_noise_by_output
from hanok.graph._round_weights import narrow_weights, round_weights, with_stored_weights
from hanok.graph._smooth import SmoothedActivation, smooth_channels
from hanok.graph._two_parts import SplitOperand, split_operands
from hanok.graph._working import Array, WorkingGraph

GOAL_DB = 32.0
"""Signal to noise of the worst output on the calibration samples below which operands are split."""


@dataclass(frozen=True)
class TransformerForm:
    """A transformer in QDQ form and what was done to it."""

    model: ModelProto
    kept_float: Mapping[str, str]
    smoothed: tuple[SmoothedActivation, ...]
    evened_rows: Mapping[str, float]
    """Products whose activation is divided row by row, with the gain in dB."""
    two_parts: tuple[SplitOperand, ...] = ()
    repairs: tuple[LayerRepair, ...] = ()
    snr_plain_db: float | None = None
    """Of the worst output; an output may be a copy of an input, which says nothing of the others."""
    snr_repaired_db: float | None = None


def quantise_transformer(
    working: WorkingGraph,
    samples: list[Sample],
    *,
    repair: bool,
    goal_db: float = GOAL_DB,
    group_rows: int = 0,
) -> TransformerForm:
    """Smooth channels, even out rows, choose ranges; then round and repair weights, and split operands.

    `working` keeps its function and changes its form. Ranges, rounding and repair that do not bring the
    worst output nearer to the float model's on the samples are left out; operands are split until it reaches
    `goal_db`. Without `repair`, weights are rounded to nearest and nothing is split.
    Where `group_rows` is not 0, weights are rounded to grids of sixteen, one for so many rows of each column.
    """
    wanted = float_outputs(working, samples)
    kept_float = keep_float(working, observe_ranges(working, samples))
    products = {operation.name for operation in working.operations if operation.op_type in PRODUCTS}
    skipped = products & kept_float.keys()
    smoothed = smooth_channels(working, samples, skipped)
    evened = even_rows(working, samples, skipped)
    ranges = share_ranges(working, observe_ranges(working, samples))
    kept_float = keep_float(working, ranges)
    chosen = share_ranges(working, clip_ranges(working, samples, ranges, kept_float))
    plain = max(
        (insert_quantisers(working, each, kept_float, True) for each in (chosen, ranges)),
        key=lambda model: _worst_db(wanted, model, samples),
    )
    if group_rows:
        plain = narrow_weights(working, plain, group_rows)
    form = TransformerForm(plain, kept_float, tuple(smoothed), evened)
    return _refined(working, form, samples, wanted, ranges, goal_db, group_rows) if repair else form


def _refined(
    working: WorkingGraph,
    form: TransformerForm,
    samples: Sequence[Sample],
    wanted: Sequence[dict[str, Array]],
    ranges: Mapping[str, Range],
    goal_db: float,
    group_rows: int,
) -> TransformerForm:
    """Weights rounded again and repaired, as far as that helps, and operands split.

    With weights of four bits, operands are split for what the activations lose: the weights' noise stays.
    """

    def judged(model: ModelProto) -> tuple[float, ModelProto]:
        return _worst_db(wanted, model, samples), model

    plain = judged(form.model)
    rounded = max(plain, judged(round_weights(working, form.model, samples, group_rows)), key=itemgetter(0))
    repaired, repairs = repair_layers(working, rounded[1], samples)
    best_db, best = max(rounded, judged(repaired), key=itemgetter(0))
    judge, judged_by = working, wanted
    if group_rows:
        judge = with_stored_weights(working, best)
        judged_by = float_outputs(judge, samples)
    worst = _worst_output(judged_by, best, samples)
    final, parts = split_operands(judge, best, samples, worst, ranges, goal_db)
    return replace(
        form,
        model=final,
        two_parts=tuple(parts),
        repairs=tuple(repairs) if best is repaired else (),
        snr_plain_db=plain[0],
        snr_repaired_db=judged(final)[0] if parts else best_db,
    )


def _worst_db(wanted: Sequence[dict[str, Array]], model: ModelProto, samples: Sequence[Sample]) -> float:
    """Signal to noise of the output that has least."""
    return min(signal_to_noise_by_output(wanted, model, samples).values(), default=inf)


def _worst_output(
    wanted: Sequence[dict[str, Array]], model: ModelProto, samples: Sequence[Sample]
) -> list[dict[str, Array]]:
    """The float values of the output with the most noise under its signal."""
    ratios = signal_to_noise_by_output(wanted, model, samples)
    worst = min(ratios, key=ratios.__getitem__, default="")
    return [{name: value for name, value in outputs.items() if name == worst} for outputs in wanted]
