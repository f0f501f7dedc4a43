"""Faults of a memory: wrong bits in cells and on pins, and what reaches the reader through its ECC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanok.dram._fault_places import (
    BitFlip,
    BurstFault,
    ColumnFault,
    Fault,
    Faults,
    PinFault,
    RowFault,
    place_faults,
    random_flips,
)
from hanok.dram.codes import Bytes, Code, WordStatus
from hanok.dram.ecc import EccPlan, Words, ecc_plan
from hanok.dram.standard import Standard
from hanok.errors import ChipError

__all__ = [
    "BitFlip",
    "BurstFault",
    "ColumnFault",
    "Fault",
    "FaultReport",
    "Faults",
    "PinFault",
    "RowFault",
    "StageReport",
    "inject",
    "random_flips",
    "read_through",
]

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

CHUNK_BITS = 1 << 25
"""Bits of blocks that are decoded at a time, each in a byte."""


@dataclass(frozen=True)
class StageReport:
    """What one code did with its words that had wrong bits."""

    code: str
    words: int
    corrected: int
    detected: int
    miscorrected: int
    """Corrected to another code word: wrong, without a sign."""
    undetected: int
    """Taken for right."""


@dataclass(frozen=True, eq=False)
class FaultReport:
    """Wrong bits that were put in, and what became of them, by burst as the host reads it."""

    standard: str
    option: str
    bursts: int
    """Of the whole image."""
    cell_flips: int
    link_flips: int
    on_die: StageReport | None
    side_band: StageReport | None
    hit: int
    """Bursts with a wrong bit in their data or check bits; each is one of the three below."""
    corrected: int
    """Read right."""
    detected: int
    """Reported to the host as uncorrectable."""
    silent: int
    """Read wrong without a report: passed on, or miscorrected."""
    wrong_bits: int
    """Of the data that were read, reported or not."""
    detected_addresses: Integers
    """Bytes: the first of each burst."""
    silent_addresses: Integers

    def lines(self) -> tuple[str, ...]:
        """Return the report for a terminal, a line each."""
        stages = (("on die", self.on_die), ("side band", self.side_band))
        return (
            f"{self.standard}, ECC {self.option}: {self.cell_flips} wrong cells and {self.link_flips} wrong "
            f"pin bits, in {self.hit} of {self.bursts} bursts",
            f"bursts: {self.corrected} corrected, {self.detected} detected, {self.silent} silently wrong "
            f"({self.wrong_bits} wrong bits read)",
            *(
                f"{name} {stage.code}: {stage.words} words with errors: {stage.corrected} corrected, "
                f"{stage.detected} detected, {stage.miscorrected} miscorrected, {stage.undetected} undetected"
                for name, stage in stages
                if stage is not None
            ),
        )


def inject(code: Code, data: Bytes, check: Bytes, flips: Integers) -> tuple[Bytes, Bytes]:
    """Return copies of words with the bits in `flips` inverted: bit b of word w is w * code.bits + b.

    data uint8 [words, data_bits / 8], check uint8 [words, check_bits / 8], flips int64. Raises ChipError for
    a bit outside the words.
    """
    _check_inside(f"{code.name}: bit", flips, len(data) * code.bits)
    bits = np.concatenate([_unpack(data), _unpack(check)], axis=1)
    np.bitwise_xor.at(bits.reshape(-1), flips, 1)
    return _pack(bits[:, : code.data_bits]), _pack(bits[:, code.data_bits :])


def read_through(
    image: Bytes, standard: Standard, option: str, faults: Faults, *, channels: int = 1, mapping: str = ""
) -> tuple[Bytes, FaultReport]:
    """Return `image` as it is read after `faults` and the ECC of `option`, and what became of the wrong bits.

    image is uint8 [bytes], a memory's content from address 0, a multiple of the burst; it is not changed.
    Blocks that are hit are encoded, damaged, and decoded by the dies' code, the pins, and the host's code, in
    this order; a word that is only detected is read as it is. Raises ChipError for another image, an option
    that the standard lacks, and faults outside of the image or the memory.
    """
    plan = ecc_plan(standard, option)
    if image.dtype != np.uint8 or image.ndim != 1 or len(image) % standard.burst_bytes or not len(image):
        raise ChipError(
            f"memory image: {image.dtype} {list(image.shape)}; allowed: uint8, one dimension, a multiple of "
            f"the {standard.burst_bytes} bytes of a {standard.name} burst"
        )
    cells, links = place_faults(plan, standard, len(image), faults, channels, mapping)
    result = image.copy()
    tally = _Tally(plan, len(image))
    for blocks, cell_flips, link_flips in _chunks(plan, cells, links):
        bytes_of = blocks[:, None] * (plan.data_bits // 8) + np.arange(plan.data_bits // 8)
        inside = bytes_of < len(image)
        data = np.where(inside, image[np.minimum(bytes_of, len(image) - 1)], np.uint8(0))
        read = _pack(_read_blocks(plan, _unpack(data), cell_flips, link_flips, tally, blocks))
        result[bytes_of[inside]] = read[inside]
    return result, tally.report(standard.name, len(cells), len(links))


class _Tally:
    """Counts over the chunks of an image of `size` bytes."""

    def __init__(self, plan: EccPlan, size: int) -> None:
        self.plan, self.size = plan, size
        self.stages = {"on_die": np.zeros(5, np.int64), "side_band": np.zeros(5, np.int64)}
        self.hit = self.wrong_bits = 0
        self.detected: list[Integers] = []
        self.silent: list[Integers] = []

    def stage(self, name: str, status: Bytes, hit: Flags, wrong: Flags) -> None:
        """Count words by status, where any of their bits was wrong before, and any of their data is after."""
        corrected, detected = status == WordStatus.CORRECTED, status == WordStatus.DETECTED
        kinds = (hit, corrected & ~wrong, detected, corrected & wrong, (status == WordStatus.OK) & wrong)
        self.stages[name] += [int(kind.sum()) for kind in kinds]

    def bursts(self, blocks: Integers, hit: Flags, flagged: Flags, wrong_bits: Integers) -> None:
        """Count bursts, [blocks, bursts]."""
        addresses = (
            blocks[:, None] * self.plan.block_bursts + np.arange(self.plan.block_bursts)
        ) * self.plan.burst_bytes
        inside = addresses < self.size
        self.hit += int((hit & inside).sum())
        self.wrong_bits += int(wrong_bits[inside].sum())
        self.detected.append(addresses[flagged & inside])
        self.silent.append(addresses[~flagged & (wrong_bits > 0) & inside])

    def report(self, standard: str, cell_flips: int, link_flips: int) -> FaultReport:
        """Return the counts of all chunks."""
        none = np.zeros(0, np.int64)
        detected, silent = np.concatenate([none, *self.detected]), np.concatenate([none, *self.silent])
        die, side = self.plan.on_die, self.plan.side_band
        return FaultReport(
            standard=standard,
            option=self.plan.option,
            bursts=self.size // self.plan.burst_bytes,
            cell_flips=cell_flips,
            link_flips=link_flips,
            on_die=StageReport(die[0].code.name, *map(int, self.stages["on_die"])) if die else None,
            side_band=StageReport(side.code.name, *map(int, self.stages["side_band"])) if side else None,
            hit=self.hit,
            corrected=self.hit - len(detected) - len(silent),
            detected=len(detected),
            silent=len(silent),
            wrong_bits=self.wrong_bits,
            detected_addresses=detected,
            silent_addresses=silent,
        )


def _chunks(plan: EccPlan, cells: Integers, links: Integers) -> Iterator[tuple[Integers, Bytes, Bytes]]:
    """Yield the hit blocks and their wrong cells and link bits, [blocks, bits] of 0 and 1, some at a time."""
    cell_bits = plan.data_bits + plan.side_bits + plan.die_bits
    link_bits = plan.data_bits + plan.side_bits
    hit = np.union1d(cells // cell_bits, links // link_bits)
    step = max(1, CHUNK_BITS // cell_bits)
    for first in range(0, len(hit), step):
        blocks = hit[first : first + step]
        masks = []
        for flips, bits in ((cells, cell_bits), (links, link_bits)):
            low, high = np.searchsorted(flips, [blocks[0] * bits, (blocks[-1] + 1) * bits])
            here = flips[low:high]
            mask = np.zeros((len(blocks), bits), np.uint8)
            mask[np.searchsorted(blocks, here // bits), here % bits] = 1
            masks.append(mask)
        yield blocks, masks[0], masks[1]


def _read_blocks(
    plan: EccPlan, data: Bytes, cell_flips: Bytes, link_flips: Bytes, tally: _Tally, blocks: Integers
) -> Bytes:
    """Return the data bits of blocks as the host reads them; all arrays are [blocks, bits] of 0 and 1."""
    side_words = (plan.side_band,) if plan.side_band else ()
    stored = np.concatenate([data, *(_check_of(data, words) for words in side_words)], axis=1)
    checks = [_check_of(stored, words) for words in plan.on_die]
    pins = stored ^ cell_flips[:, : stored.shape[1]]
    hit = _by_burst(plan, cell_flips, link_flips)
    flagged = np.zeros(hit.shape, bool)
    place = stored.shape[1]
    for words, check in zip(plan.on_die, checks, strict=True):
        wrong_check = cell_flips[:, place : place + check.shape[1]]
        status = _correct(pins, check ^ wrong_check, words)
        before = _any(cell_flips[:, words.bits]) | _any_by(wrong_check, words.code.check_bits)
        tally.stage("on_die", status, before, _any((pins ^ stored)[:, words.bits]))
        if plan.die_reports:
            flagged |= (status == WordStatus.DETECTED).any(axis=1, keepdims=True)
        place += check.shape[1]
    pins ^= link_flips
    read = pins[:, : plan.data_bits].copy()
    for words in side_words:
        before = _any((pins ^ stored)[:, words.bits]) | _any_by(
            (pins ^ stored)[:, plan.data_bits :], words.code.check_bits
        )
        status = _correct(read, pins[:, plan.data_bits :], words)
        tally.stage("side_band", status, before, _any((read ^ data)[:, words.bits]))
        bad = (status == WordStatus.DETECTED).reshape(len(status), plan.block_bursts, -1)
        flagged |= bad.any(axis=2)
    wrong = (read ^ data).reshape(len(data), plan.block_bursts, -1).sum(axis=2, dtype=np.int64)
    tally.bursts(blocks, hit | flagged | (wrong > 0), flagged, wrong)
    return read


def _check_of(bits: Bytes, words: Words) -> Bytes:
    """Return the check bits of words within blocks, [blocks, words * check_bits] of 0 and 1."""
    data = _pack(bits[:, words.bits].reshape(-1, words.code.data_bits))
    return _unpack(words.code.encode(data)).reshape(len(bits), -1)


def _correct(bits: Bytes, check: Bytes, words: Words) -> Bytes:
    """Decode the words within `bits` in place; return their status [blocks, words]."""
    code = words.code
    data = _pack(bits[:, words.bits].reshape(-1, code.data_bits))
    fixed, status = code.decode(data, _pack(check.reshape(-1, code.check_bits)))
    bits[:, words.bits] = _unpack(fixed).reshape(len(bits), *words.bits.shape)
    return status.reshape(len(bits), -1)


def _by_burst(plan: EccPlan, cell_flips: Bytes, link_flips: Bytes) -> Flags:
    """Return which bursts have a wrong bit: in their data, or in check bits of a word that they share."""
    shape = (len(cell_flips), plan.block_bursts)
    data, side = plan.data_bits, plan.side_bits
    wrong = cell_flips[:, :data] | link_flips[:, :data]
    hit = _any(wrong.reshape(*shape, -1))
    if side:
        wrong = cell_flips[:, data : data + side] | link_flips[:, data:]
        hit |= _any(wrong.reshape(*shape, -1))
    burst_of = np.arange(data + side) // (8 * plan.burst_bytes)
    burst_of[data:] = np.arange(side) * plan.block_bursts // max(1, side)
    place = data + side
    for words in plan.on_die:
        for bits in words.bits:
            wrong_word = cell_flips[:, place : place + words.code.check_bits].any(axis=1, keepdims=True)
            hit[:, np.unique(burst_of[bits])] |= wrong_word
            place += words.code.check_bits
    return hit


def _check_inside(what: str, positions: Integers, total: int) -> None:
    outside = positions[(positions < 0) | (positions >= total)]
    if len(outside):
        raise ChipError(f"{what} {outside[0]}; allowed: 0..{total - 1}")


def _any(bits: Bytes) -> Flags:
    """Return whether any bit along the last axis is set."""
    return np.asarray(bits.any(axis=-1), np.bool_)


def _any_by(bits: Bytes, width: int) -> Flags:
    """Return for each `width` bits of each row whether any is set."""
    return _any(bits.reshape(len(bits), -1, width))


def _unpack(data: Bytes) -> Bytes:
    return np.unpackbits(data, axis=1, bitorder="little")


def _pack(bits: Bytes) -> Bytes:
    return np.packbits(bits, axis=1, bitorder="little")
