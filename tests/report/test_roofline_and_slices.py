"""What drawings compute: roofline positions, slices of a timeline, varints."""

from dataclasses import replace

import numpy as np

from hanok.flows.results import RunRecord, RunTraces
from hanok.report._protobuf import integer, varint
from hanok.report._roofline import lay_out
from hanok.report._slices import thin, unit_slices


def test_the_ridge_is_where_both_roofs_meet(run: tuple[RunRecord, RunTraces]) -> None:
    record = run[0]
    drawing = lay_out(record)
    assert drawing is not None
    (_, low), (ridge_x, ridge_y), (right, top) = drawing.roof
    assert top == ridge_y < low
    assert drawing.left <= ridge_x < right == drawing.right
    assert {point.layer for point in drawing.points} == {
        n for n, layer in enumerate(record.layers) if layer.macs
    }
    for point in drawing.points:
        assert drawing.left <= point.x <= drawing.right
        assert drawing.top <= point.y <= drawing.bottom
        assert point.y >= ridge_y


def test_no_layer_to_place(run: tuple[RunRecord, RunTraces]) -> None:
    assert lay_out(replace(run[0], layers=())) is None


def test_pipelined_instructions_do_not_overlap_in_drawings(run: tuple[RunRecord, RunTraces]) -> None:
    timeline = run[1].timeline
    early = replace(timeline, start=np.maximum(0, timeline.start - 500))
    for unit in range(4):
        slices = unit_slices(early, unit)
        assert (slices.start[1:] >= slices.end[:-1]).all()
        assert (slices.end >= slices.start).all()


def test_thinning_keeps_time_and_instructions(run: tuple[RunRecord, RunTraces]) -> None:
    slices = unit_slices(run[1].timeline, 2)
    for limit in (1, 7, 24, 100, 10**6):
        thinned = thin(slices, limit)
        assert len(thinned.start) == min(limit, len(slices.start))
        assert thinned.busy.sum() == slices.busy.sum()
        assert thinned.count.sum() == len(slices.start)
        assert thinned.start[0] == slices.start[0]
        assert thinned.end[-1] == slices.end[-1]
    assert len(set(thin(slices, 24).layer.tolist())) == 24


def test_varints() -> None:
    assert varint(0) == b"\x00"
    assert varint(300) == b"\xac\x02"
    assert varint(-1) == b"\xff" * 9 + b"\x01"
    assert integer(60, 1) == b"\xe0\x03\x01"
