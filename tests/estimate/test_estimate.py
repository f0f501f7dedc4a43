"""Energy and area: figures derived by hand, order, and the document."""

from __future__ import annotations

import dataclasses
from math import log
from pathlib import Path

import numpy as np
import pytest

from hanok.dram import get_standard
from hanok.estimate import ActivityCounts, Range, activity, estimate_area, estimate_energy, tables
from hanok.estimate.document import document_text
from hanok.estimate.energy import mac_pj
from hanok.isa import Destination, Opcode, Operand, Reduction, Source, Step, decode, encode
from hanok.machine import Chip, Technology, preset_names

DOCUMENT = Path(__file__).parents[2] / "docs" / "estimates.md"
EDGE = Chip.load("edge")
COLUMNS, ROWS = EDGE.core.matrix.columns, EDGE.core.matrix.rows


def changed(chip: Chip, **fields) -> Chip:
    """The chip with dotted fields (a__b) set anew."""
    content = chip.model_dump()
    for name, value in fields.items():
        *parents, last = name.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    return Chip.from_dict(content, "changed")


def counts_of(*code: bytes) -> ActivityCounts:
    return activity(decode(b"".join(code)), EDGE)


def test_the_document_is_current():
    assert DOCUMENT.read_text("utf-8") == document_text(), (
        "run: python -m hanok.estimate.document > docs/estimates.md"
    )


def test_published_figures_come_back_at_their_nodes():
    at_45, at_7 = Technology(node_nm=45.0, voltage=0.9), Technology(node_nm=7.0, voltage=0.75)
    for row in tables.OPERATIONS:
        assert tables.operation_pj(row, at_45) == pytest.approx(row.old_pj)
        assert tables.operation_pj(row, at_7) == pytest.approx(row.new_pj)
    for row in tables.SRAM_ENERGY:
        assert tables.sram_pj_per_byte(row.size_bytes, at_45).nominal == pytest.approx(row.old_pj / 8)
        assert tables.sram_pj_per_byte(row.size_bytes, at_7).nominal == pytest.approx(row.new_pj / 8)
    assert mac_pj(at_45).low == pytest.approx(0.2 + 0.1)


def test_between_the_nodes_energy_is_a_power_of_the_node():
    """int8 multiply at 16 nm: 0.07 * (16/7)^k with k = ln(0.2/0.07) / ln(45/7)."""
    exponent = log(0.2 / 0.07) / log(45 / 7)
    technology = Technology(node_nm=16.0, voltage=tables.nominal_voltage(16.0))
    assert tables.operation_pj(tables.INT8_MULTIPLY, technology) == pytest.approx(0.07 * (16 / 7) ** exponent)


def test_energy_goes_with_the_square_of_the_voltage():
    low, high = Technology(node_nm=7.0, voltage=0.5), Technology(node_nm=7.0, voltage=1.0)
    assert tables.operation_pj(tables.INT32_ADD, high) == pytest.approx(
        4 * tables.operation_pj(tables.INT32_ADD, low)
    )


def test_order_in_node_and_size():
    nodes = [180.0, 90.0, 65.0, 45.0, 40.0, 28.0, 16.0, 10.0, 7.0, 5.0, 3.0, 1.0]
    technologies = [Technology(node_nm=node, voltage=tables.nominal_voltage(node)) for node in nodes]
    for row in tables.OPERATIONS:
        figures = [tables.operation_pj(row, technology) for technology in technologies]
        assert figures == sorted(figures, reverse=True)
    assert np.all(np.diff([tables.logic_um2(100.0, node) for node in nodes]) < 0)
    assert np.all(np.diff([tables.sram_um2(1024, node).nominal for node in nodes]) < 0)
    sizes = [512 << n for n in range(14)]
    energies = [tables.sram_pj_per_byte(size, technologies[8]).nominal for size in sizes]
    assert energies == sorted(energies)
    assert all(part.low < part.nominal < part.high for part in (mac_pj(one) for one in technologies))


def test_a_range_is_in_order():
    with pytest.raises(AssertionError, match=r"is not in order"):
        Range(2.0, 1.0, 3.0)
    assert Range(1.0, 2.0, 3.0) + Range(1.0, 1.0, 1.0) * 2 == Range(3.0, 4.0, 5.0)
    assert Range(1.0, 2.0, 3.0) * Range(0.5, 1.0, 2.0) == Range(0.5, 2.0, 6.0)


def test_dma_activity():
    """2 x 3 x 4 runs of 10 bytes each way, 7 filled, 64 expanded of 132, 512 unpacked of 320, the code."""
    loops = {"run_bytes": 10, "count_3": 2, "count_2": 3, "count_1": 4}
    single = {"count_3": 1, "count_2": 1, "count_1": 1}
    code = (
        encode(Opcode.LOAD, loops),
        encode(Opcode.STORE, loops),
        encode(Opcode.FILL, single | {"run_bytes": 7}),
        encode(Opcode.EXPAND, single | {"run_bytes": 64, "packed_bytes": 132}),
        encode(Opcode.UNPACK, single | {"run_bytes": 512, "packed_bytes": 320, "group_rows": 32}),
    )
    assert counts_of(*code) == ActivityCounts(
        load_sram_write_bytes=240 + 7 + 64 + 512,
        store_sram_read_bytes=240,
        dram_read_bytes=240 + 132 + 320 + sum(map(len, code)),
        dram_write_bytes=240,
        dram_activates=1,
    )


def test_conv_activity():
    """5 x 6 positions, 3 x 3 taps of 70 bytes (2 chunks of 64), 2 blocks: 128 + 20 columns, with bias."""
    fields = {
        "out_height": 5,
        "out_width": 6,
        "taps_y": 3,
        "taps_x": 3,
        "tap_bytes": 70,
        "blocks": 2,
        "last_columns": 20,
        "flags": 1,
    }
    found = counts_of(encode(Opcode.CONV, fields))
    positions, used, depth, folds = 30, 148, 9 * 70, 9 * 2
    assert found.macs == positions * used * depth
    assert found.array_slots == folds * 2 * positions * ROWS * COLUMNS
    assert found.preload_bytes == depth * used + 4 * used
    assert found.matrix_sram_read_bytes == depth * used + 4 * used + positions * depth * 2
    assert found.accumulator_write_bytes == 4 * positions * used * folds
    assert found.accumulator_read_bytes == 4 * positions * used * (folds - 1)
    assert (
        counts_of(encode(Opcode.CONV, fields | {"flags": 2})).accumulator_read_bytes
        == 4 * positions * used * folds
    )


def test_depthwise_activity():
    """3 x 3 over rows of 6 pixels of pitch 8: each of 3 vertical taps streams 4 rows of 6 pixels."""
    fields = {
        "out_height": 4,
        "out_width": 4,
        "taps_y": 3,
        "taps_x": 3,
        "tap_bytes": 1,
        "blocks": 1,
        "last_columns": 8,
        "pixel_pitch": 8,
        "x_stride": 8,
        "x_tap": 8,
    }
    found = counts_of(encode(Opcode.DEPTHWISE, fields))
    assert found.macs == 16 * 9 * 8
    assert found.array_slots == 3 * 24 * ROWS * COLUMNS
    assert found.preload_bytes == 9 * 8
    assert found.matrix_sram_read_bytes == 9 * 8 + 3 * 24 * 8
    assert found.accumulator_write_bytes == 4 * 16 * 8 * 3


def test_chain_activity():
    """Sum of 9 int8 after one step, then a division (8 of them), to float32; with an int8 second operand."""
    fields = {
        "outer_2": 2,
        "outer_1": 3,
        "outer_0": 4,
        "reduce_1": 3,
        "reduce_0": 3,
        "inner": 16,
        "reduction": Reduction.SUM,
        "kind_0": Source.INT8,
        "kind_1": Source.INT8,
        "kind_out": Destination.FLOAT32,
        "steps": 2,
        "steps_before": 1,
        "step": [Step.MUL, Step.DIV, 0, 0, 0, 0, 0, 0],
        "operand": [Operand.SOURCE_1] + [0] * 7,
    }
    found = counts_of(encode(Opcode.CHAIN, fields))
    read, results = 24 * 9 * 16, 24 * 16
    assert found.vector_lane_steps == read * (1 + 1 + 1) + results * (1 + 8)
    assert found.vector_sram_read_bytes == read + 24 * 16
    assert found.vector_sram_write_bytes == 4 * results
    folded = counts_of(encode(Opcode.CHAIN, fields | {"flags": 1}))
    assert folded.vector_sram_write_bytes == 4 * 24
    table = counts_of(encode(Opcode.TABLE, {}))
    assert table.vector_sram_read_bytes == 1024


def test_requantisation_reads_accumulators():
    fields = {
        "outer_2": 1,
        "outer_1": 1,
        "outer_0": 10,
        "reduce_1": 1,
        "reduce_0": 1,
        "inner": 128,
        "kind_0": Source.ACCUMULATOR,
        "kind_out": Destination.INT8,
        "steps": 1,
        "step": [Step.MUL] + [0] * 7,
    }
    found = counts_of(encode(Opcode.CHAIN, fields))
    assert found.accumulator_read_bytes == 4 * 1280
    assert found.vector_sram_read_bytes == 0
    assert found.vector_lane_steps == 1280 * 3


def test_energy_of_each_part():
    """One count at a time, at 7 nm and 0.75 V, no time: each part is its count times its figure."""
    chip = changed(EDGE, technology__node_nm=7.0, technology__voltage=0.75, core__sram__bank_bytes=32 << 10)
    million = 10**6
    full = estimate_energy(ActivityCounts(macs=million, array_slots=million), chip, 0)
    assert full.matrix.nominal == pytest.approx(1.4 * 0.1 * million)
    assert full.total == full.matrix
    idle = estimate_energy(ActivityCounts(array_slots=million), chip, 0)
    assert idle.matrix.nominal == pytest.approx(0.1 * 1.4 * 0.1 * million)
    preload = estimate_energy(ActivityCounts(preload_bytes=million), chip, 0)
    assert preload.matrix.nominal == pytest.approx(1.5 * 0.007 * million)
    vector = estimate_energy(ActivityCounts(vector_lane_steps=million), chip, 0)
    assert vector.vector.nominal == pytest.approx((0.38 + 1.31) / 2 * million)
    for name in (
        "load_sram_write",
        "store_sram_read",
        "matrix_sram_read",
        "vector_sram_read",
        "vector_sram_write",
    ):
        sram = estimate_energy(ActivityCounts(**{f"{name}_bytes": million}), chip, 0)
        assert sram.sram.nominal == pytest.approx(8.5 / 8 * million)
        assert sram.total == sram.sram


def test_dram_energy_is_commands_times_their_figures():
    figures = get_standard(EDGE.memory.standard).energy
    found = estimate_energy(
        ActivityCounts(dram_read_bytes=3200, dram_write_bytes=640, dram_activates=7), EDGE, 0
    )
    wanted = figures.read_pj * 100 + figures.write_pj * 20 + figures.activate_precharge_pj * 7
    for end in ("low", "nominal", "high"):
        assert getattr(found.dram_access, end) == pytest.approx(getattr(wanted, end))
    flat = changed(EDGE, memory__standard="FLAT:1000")
    assert estimate_energy(ActivityCounts(dram_read_bytes=100), flat, 0).dram_access == Range(
        3200.0, 12000.0, 32000.0
    )


def test_time_costs_standby_refresh_and_leakage():
    """A second of edge: four channels' standby and refreshes, and mW/mm2 of leakage."""
    second = estimate_energy(ActivityCounts(), EDGE, EDGE.clock_mhz * 10**6)
    standard = get_standard(EDGE.memory.standard)
    interval = standard.refresh_interval_cycles * standard.tck_fs * 1e-15
    figures = standard.energy
    wanted_mj = 4 * (figures.background_mw.nominal + figures.refresh_pj.nominal / interval * 1e-9)
    assert second.dram_background.nominal * 1e-9 == pytest.approx(wanted_mj)
    assert second.in_millijoules()["leakage"].nominal == pytest.approx(5 * estimate_area(EDGE).total.nominal)
    calm = changed(EDGE, memory__controller__refresh="none")
    still = estimate_energy(ActivityCounts(), calm, EDGE.clock_mhz * 10**6)
    assert still.dram_background.nominal * 1e-9 == pytest.approx(4 * figures.background_mw.nominal)


def test_counts_add_up():
    line = encode(
        Opcode.CONV,
        {
            "out_height": 2,
            "out_width": 2,
            "taps_y": 1,
            "taps_x": 1,
            "tap_bytes": 8,
            "blocks": 1,
            "last_columns": 8,
        },
    )
    one, two = counts_of(line), counts_of(line, line)
    summed = one + one
    assert dataclasses.replace(summed, dram_activates=0) == dataclasses.replace(two, dram_activates=0)


def test_area_of_the_sram_by_hand():
    """4 MiB and the 8 KiB fetch buffer at 7 nm: bits times 0.027 um2 times the macro's 2.8."""
    area = estimate_area(changed(EDGE, technology__node_nm=7.0))
    assert area.sram.nominal == pytest.approx((4 * 1024 + 8) * 1024 * 8 * 0.027 * 2.8 / 1e6)
    assert area.accumulators.nominal == pytest.approx(2 * 512 * 128 * 32 * 0.027 * 2.8 / 1e6)


@pytest.mark.parametrize(
    ("field", "value", "block"),
    [
        ("core__matrix__rows", 128, "matrix"),
        ("core__matrix__columns", 256, "matrix"),
        ("core__matrix__extra_stages", 2, "matrix"),
        ("core__matrix__accumulator_rows", 1024, "accumulators"),
        ("core__vector__lanes", 256, "vector"),
        ("core__vector__stages", 8, "vector"),
        ("core__sram__banks", 128, "sram"),
    ],
)
def test_more_of_anything_is_larger(field, value, block):
    larger, plain = estimate_area(changed(EDGE, **{field: value})), estimate_area(EDGE)
    assert getattr(larger, block).nominal > getattr(plain, block).nominal
    assert larger.total.nominal > plain.total.nominal


@pytest.mark.parametrize("name", preset_names())
def test_presets_have_estimates(name):
    chip = Chip.load(name)
    energy = estimate_energy(ActivityCounts(macs=1000, array_slots=2000, dram_read_bytes=100), chip, 1000)
    assert 0 < energy.total.low < energy.total.nominal < energy.total.high
    assert 0.1 < estimate_area(chip).total.nominal < 1000
