"""What ECC costs and catches, as shown in docs/dram-ecc.md: bandwidth in line, codes' outcomes, speed."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from hanok.dram.codes import Code, error_counts, hamming, hsiao, outcome_probabilities, reed_solomon
from hanok.dram.ecc import ecc_options, ecc_plan, expand_inline
from hanok.dram.faults import Faults, read_through
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard

REQUESTS = 100_000
IMAGE_BYTES = 1 << 24
RATE = 1e-5
CODES = (
    hamming(128, 8),
    hsiao(64, 8),
    hsiao(96, 8),
    hsiao(256, 16),
    reed_solomon(8, 8),
    reed_solomon(17, 16),
)

Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]


def standard_of(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard), f"{name} has banks"
    return found


def patterns(standard: Standard) -> dict[str, tuple[Flags, Integers]]:
    """Return writes and addresses by name, within what in-line ECC leaves of the capacity."""
    generator = np.random.default_rng(1)
    stream = np.arange(REQUESTS, dtype=np.int64)
    usable = ecc_plan(standard, "side_band").usable_bytes(standard) // standard.burst_bytes
    scattered = generator.integers(0, usable, REQUESTS)
    reads, writes = np.zeros(REQUESTS, bool), np.ones(REQUESTS, bool)
    copies = np.where(stream // 64 % 2 == 1, usable // 2, 0) // 64 * 64 + stream // 128 * 64 + stream % 64
    return {
        "stream of reads": (reads, stream),
        "stream of writes": (writes, stream),
        "copy, 64 bursts each way": (stream // 64 % 2 == 1, copies),
        "random reads": (reads, scattered),
        "random writes": (writes, scattered),
    }


def bandwidth(name: str) -> None:
    """Print the share of the peak that data get without and with in-line ECC."""
    standard = standard_of(name)
    arrivals = np.zeros(REQUESTS, np.int64)
    for pattern, (writes, bursts) in patterns(standard).items():
        addresses = bursts * standard.burst_bytes
        plain = run_requests(standard, writes, addresses, arrivals)
        sent = expand_inline(standard, writes, addresses, arrivals)
        guarded = run_requests(standard, sent.writes, sent.addresses, sent.arrivals)
        busy = REQUESTS * standard.burst_cycles / standard.organisation.pseudo_channels
        print(
            f"{name} {pattern}: {100 * busy / plain.cycles:.1f} % of peak, in line "
            f"{100 * busy / guarded.cycles:.1f} %, {len(sent.writes) / REQUESTS:.3f} bursts each"
        )


def code_speed(code: Code) -> tuple[float, float]:
    """Return megabytes of data a second that are encoded and decoded."""
    data = np.random.default_rng(1).integers(0, 256, (1 << 19, code.data_bits // 8), np.uint8)
    check = code.encode(data)
    code.decode(data[:1], check[:1])
    begin = time.process_time()
    code.encode(data)
    middle = time.process_time()
    code.decode(data, check)
    end = time.process_time()
    return data.nbytes / 1e6 / (middle - begin), data.nbytes / 1e6 / (end - middle)


def codes() -> None:
    """Print what each code does with two and three wrong bits (symbols), and how fast it is here."""
    for code in CODES:
        shares = []
        for wrong in (2, 3, 4):
            counted = error_counts(code, wrong)
            total = counted.detected + counted.miscorrected + counted.undetected
            shares.append(f"{wrong}: {100 * counted.detected / total:.3f} %")
        encoded, decoded = code_speed(code)
        silent = outcome_probabilities(code, RATE).silent
        print(
            f"{code.name}: wrong {'bits' if code.symbol_bits == 1 else 'symbols'} detected "
            f"{', '.join(shares)}; silent at {RATE}: {silent:.2e} a word; {encoded:.0f} / {decoded:.0f} MB/s"
        )


def faults(name: str) -> None:
    """Print what becomes of random wrong cells of a memory image under each option."""
    standard = standard_of(name)
    image = np.random.default_rng(2).integers(0, 256, IMAGE_BYTES, np.uint8)
    for option in ecc_options(standard.family):
        begin = time.process_time()
        _, report = read_through(image, standard, option, Faults(rate=RATE * 10, seed=1))
        seconds = time.process_time() - begin
        print(
            f"{name} {option}: {report.cell_flips} wrong cells, {report.hit} bursts: {report.corrected} "
            f"corrected, {report.detected} detected, {report.silent} silent; {seconds:.2f} s for "
            f"{IMAGE_BYTES >> 20} MiB"
        )


if __name__ == "__main__":
    codes()
    for each in ("LPDDR5_6400", "LPDDR5X_8533", "GDDR6_16000"):
        bandwidth(each)
    for each in ("HBM2_2000", "HBM2E_3600", "HBM3_6400", "LPDDR5X_8533", "DDR5_4800", "GDDR6_16000"):
        faults(each)
