"""Sums over time: bandwidth slices, SRAM use and shares of layers, against sums done by hand."""

import numpy as np

from hanok.flows._accounting import _shares, bandwidth_of
from hanok.flows._sram_map import sram_map
from hanok.flows.results import Timeline
from hanok.machine import Sram


def _timeline(rows: list[tuple[int, int, int, int]]) -> Timeline:
    """Instructions (start, end, unit, bytes)."""
    table = np.array(rows, np.int64)
    moved = table[:, 3]
    return Timeline(
        start=table[:, 0],
        end=table[:, 1],
        unit=table[:, 2].astype(np.int8),
        opcode=np.ones(len(table), np.uint8),
        layer=np.zeros(len(table), np.int32),
        dram_read_bytes=np.where(table[:, 2] == 0, moved, 0),
        dram_write_bytes=np.where(table[:, 2] == 1, moved, 0),
        unit_names=("load DMA", "store DMA", "matrix", "vector"),
        opcode_names=((1, "load"),),
    )


def test_bytes_arrive_in_order_and_none_is_lost() -> None:
    # The second load overlaps the first: its bytes arrive between cycles 100 and 150.
    timeline = _timeline([(0, 100, 0, 1000), (20, 150, 0, 500), (150, 160, 1, 64), (300, 300, 0, 0)])
    bandwidth = bandwidth_of(timeline, 600)
    assert bandwidth.slice_cycles == 1
    assert len(bandwidth.read_bytes) == 600
    assert bandwidth.read_bytes.sum() == 1500
    assert bandwidth.write_bytes.sum() == 64
    assert bandwidth.read_bytes[:150].tolist() == [10] * 150
    assert bandwidth.read_bytes[150:].sum() == 0
    assert bandwidth.write_bytes[150:160].sum() == 64


def test_bandwidth_of_random_transfers_adds_up() -> None:
    generator = np.random.default_rng(5)
    rows, end = [], 0
    for _ in range(500):
        start = max(0, end - int(generator.integers(0, 50)))
        end = end + int(generator.integers(1, 80))
        rows.append((start, end, 0, int(generator.integers(0, 5000))))
    bandwidth = bandwidth_of(_timeline(rows), end + 7)
    assert bandwidth.read_bytes.sum() == sum(row[3] for row in rows)
    assert (bandwidth.read_bytes >= 0).all()


def test_no_transfers_and_no_cycles() -> None:
    empty = _timeline([(0, 5, 2, 0)])
    assert bandwidth_of(empty, 5).read_bytes.tolist() == [0] * 5
    assert len(bandwidth_of(empty, 0).read_bytes) == 1


def test_shares_add_up_to_the_stage() -> None:
    assert _shares(np.array([10, 40, 30, 90]), 100).tolist() == [10, 30, 0, 60]
    assert _shares(np.array([95, 40]), 100).tolist() == [100, 0]
    assert _shares(np.zeros(0, np.int64), 100).tolist() == []


def test_sram_map_against_counting_each_cycle() -> None:
    generator = np.random.default_rng(11)
    cycles, banks = 3000, 16
    start, length, unit = (generator.integers(0, top, 60) for top in (2500, 400, 4))
    rows = [
        (s, s + d + 1, u, 0) for s, d, u in zip(start.tolist(), length.tolist(), unit.tolist(), strict=True)
    ]
    timeline = _timeline(rows)
    touched = generator.random((60, banks)) < 0.2
    result = sram_map(timeline, touched, Sram(banks=banks, bank_bytes=1024), cycles)
    used = np.zeros((cycles, banks, 4), np.int64)
    for (start, end, unit, _), mine in zip(rows, touched, strict=True):
        used[start:end, mine, unit] += 1
    for number in range(len(result.owner)):
        part = used[number * result.slice_cycles : (number + 1) * result.slice_cycles].sum(axis=0)
        most = part.max(axis=1)
        for bank in range(banks):
            owner = int(result.owner[number, bank])
            assert (owner == 0) == (most[bank] == 0)
            assert owner == 0 or part[bank, owner - 1] == most[bank]


def test_many_banks_are_shown_in_groups() -> None:
    timeline = _timeline([(0, 10, 3, 0)])
    touched = np.zeros((1, 300), bool)
    touched[0, 299] = True
    result = sram_map(timeline, touched, Sram(banks=300, bank_bytes=512), 10)
    assert result.bank_bytes == 3 * 512
    assert result.owner.shape == (10, 100)
    assert (result.owner[:, 99] == 4).all()
    assert not result.owner[:, :99].any()
