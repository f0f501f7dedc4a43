"""Which unit uses each SRAM bank over time, from the banks that each instruction touches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hanok.flows.results import SramMap, Timeline
from hanok.machine import Sram

MAX_SLICES = 320
MAX_BANKS = 128


def sram_map(timeline: Timeline, banks: npt.NDArray[np.bool_], sram: Sram, cycles: int) -> SramMap:
    """Draw the map; `banks` is [instructions, banks]. In each slice of time a bank shows its busiest unit.

    Chips of more than MAX_BANKS banks show groups of neighbouring banks.
    """
    group = -(-sram.banks // MAX_BANKS)
    rows = -(-sram.banks // group)
    width = max(1, -(-cycles // MAX_SLICES))
    slices = max(1, -(-cycles // width))
    used = np.zeros((len(timeline.unit_names), slices + 1, rows))
    padded = np.zeros((len(timeline), rows * group), bool)
    padded[:, : sram.banks] = banks[:, : sram.banks]
    touched: npt.NDArray[np.bool_] = np.any(padded.reshape(len(timeline), rows, group), axis=2)
    for unit in range(len(timeline.unit_names)):
        members = np.flatnonzero(timeline.unit == unit)
        _add_spans(used[unit], timeline.start[members], timeline.end[members], touched[members], width)
    busiest = used[:, :slices].argmax(axis=0)
    owner = np.where(used[:, :slices].max(axis=0) > 0, busiest + 1, 0).astype(np.uint8)
    return SramMap(sram.bank_bytes * group, width, owner)


def _add_spans(
    used: npt.NDArray[np.float64],
    start: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    touched: npt.NDArray[np.bool_],
    width: int,
) -> None:
    """Add each span's cycles to the slices [slice, bank] that it covers; whole slices by prefix sums."""
    weights = touched.astype(np.float64)
    last = np.maximum(end - 1, start)
    first_slice, last_slice = start // width, last // width
    single = first_slice == last_slice
    np.add.at(used, first_slice[single], weights[single] * np.maximum(1, end - start)[single, None])
    several = ~single
    head = (first_slice[several] + 1) * width - start[several]
    tail = end[several] - last_slice[several] * width
    np.add.at(used, first_slice[several], weights[several] * head[:, None])
    np.add.at(used, last_slice[several], weights[several] * tail[:, None])
    steps = np.zeros_like(used)
    np.add.at(steps, first_slice[several] + 1, weights[several] * width)
    np.add.at(steps, last_slice[several], -weights[several] * width)
    used += np.cumsum(steps, axis=0)
