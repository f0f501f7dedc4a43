"""Traces on a memory with ECC and a host that waits: bursts, latencies and energy against runs without."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hanok.dram.mapping_search import Requests
from hanok.dram.request_traces import TraceError
from hanok.dram.simulate import run_requests
from hanok.dram.standard import Standard
from hanok.dram.standards import get_standard
from hanok.errors import ChipError
from hanok.flows._dram_service import Memory, ecc_summary, serve, usable_bytes
from hanok.flows.dram import SEARCH, run_trace
from hanok.machine import Policy


def standard(name: str) -> Standard:
    found = get_standard(name)
    assert isinstance(found, Standard)
    return found


def requests(writes: list[bool], bursts: list[int], burst_bytes: int) -> Requests:
    return Requests(np.array(writes), np.array(bursts) * burst_bytes, np.zeros(len(bursts), np.int64))


def stream(memory: Standard, count: int, writes: bool = False) -> Requests:
    return requests([writes] * count, list(range(count)), memory.burst_bytes)


@pytest.mark.parametrize("name", ["HBM2_2000", "HBM3_6400", "DDR5_4800"])
@pytest.mark.parametrize("writes", [False, True])
def test_side_band_moves_the_same_bursts_and_decodes_reads(name: str, writes: bool) -> None:
    memory = standard(name)
    asked = stream(memory, 500, writes)
    plain = serve(asked, Memory(memory))
    guarded = serve(asked, Memory(memory, ecc="side_band"))
    assert plain.asked is plain.sent
    assert guarded.plan is not None
    wait = 0 if writes else guarded.plan.read_latency_clocks * memory.clock_cycles
    assert (guarded.asked.completed == plain.asked.completed + wait).all()
    assert (guarded.asked.admitted == plain.asked.admitted).all()
    assert guarded.sent.cycles == guarded.asked.cycles == plain.asked.cycles + wait
    assert not guarded.is_ecc.any()


def test_inline_reads_wait_for_their_check_bits() -> None:
    """Bursts 0 and 1 share check bits, which the first fetches; 8 needs others. Three clocks to decode."""
    memory = standard("LPDDR5_6400")
    found = serve(
        requests([False] * 3, [0, 1, 8], memory.burst_bytes), Memory(memory, ecc="side_band", window=0)
    )
    assert found.is_ecc.tolist() == [False, True, False, False, True]
    bus, wait = found.sent.completed, 3 * memory.clock_cycles
    assert found.asked.completed.tolist() == [
        max(bus[0], bus[1]) + wait,
        bus[2] + wait,
        max(bus[3], bus[4]) + wait,
    ]
    assert found.asked.admitted.tolist() == [found.sent.admitted[place] for place in (0, 2, 3)]
    assert found.asked.addresses.tolist() == [place * memory.burst_bytes for place in (0, 1, 9)]


def test_writes_are_done_with_their_own_data() -> None:
    """A partial write is read first; its check bits are written at the end."""
    memory = standard("LPDDR5_6400")
    found = serve(
        requests([True], [0], memory.burst_bytes), Memory(memory, ecc="side_band", partial_writes=True)
    )
    assert found.sent.writes.tolist() == [False, False, True, True]
    assert found.is_ecc.tolist() == [False, True, False, True]
    assert found.asked.completed[0] == found.sent.completed[2]
    assert found.asked.admitted[0] == found.sent.admitted[0]
    assert found.asked.cycles == found.sent.completed[3] > found.asked.completed[0]


def test_what_a_stream_in_line_costs(tmp_path: Path) -> None:
    """800 reads fetch 100 bursts of check bits; eight ninths of the capacity are left."""
    memory = standard("LPDDR5_6400")
    path = tmp_path / "stream.txt"
    path.write_text("".join(f"LD {memory.burst_bytes * number}\n" for number in range(800)))
    plain = run_trace(path, Memory(memory)).record
    record = run_trace(path, Memory(memory, ecc="side_band"), check=True).record
    assert plain.ecc is None
    ecc = record.ecc
    assert ecc is not None
    assert (ecc.check_reads, ecc.check_writes, ecc.merge_reads, ecc.in_line) == (100, 0, 0, True)
    assert ecc.capacity_share == pytest.approx(8 / 9)
    assert ecc.read_latency_ns == pytest.approx(3 * memory.clock_cycles * memory.tck_fs * 1e-6)
    assert "100 of 900 bursts hold check bits (100 read, 0 written)" in ecc.cost
    assert "88.9 % of the capacity is left" in ecc.cost
    assert (record.requests, record.bytes_moved) == (800, 800 * memory.burst_bytes)
    assert dict(record.commands)["read"] == 900
    assert sum(load.requests for load in record.loads) == 800
    assert sum(cycles for _, cycles in record.bus) == record.bus_cycles
    assert record.bytes_per_second < plain.bytes_per_second
    assert record.check is not None
    assert record.check.violations == 0
    assert record.latencies[0].count == 800


def test_what_pins_of_their_own_cost(tmp_path: Path) -> None:
    """HBM2: nine pins for eight, in the energy of reads alone; nothing else changes."""
    memory = standard("HBM2_2000")
    path = tmp_path / "stream.txt"
    path.write_text("".join(f"LD {memory.burst_bytes * number}\n" for number in range(800)))
    plain, record = (run_trace(path, Memory(memory, ecc=ecc)).record for ecc in ("none", "side_band"))
    assert record.cycles == plain.cycles
    before, after = ({part.name: part.amount for part in one.energy} for one in (plain, record))
    assert after["read"] == pytest.approx(before["read"] * 9 / 8)
    assert after["background"] == pytest.approx(before["background"])
    assert record.ecc is not None
    assert record.ecc.cost.startswith("no bandwidth and no capacity, as check bits have pins of their own; ")
    assert "12.5 % more energy" in record.ecc.cost


@pytest.mark.parametrize(
    ("name", "ecc", "merges", "words"),
    [
        ("HBM3_6400", "on_die", 50, "50 reads to merge writes of part of a burst"),
        ("HBM2_2000", "side_band", 50, "50 reads to merge writes"),
        ("LPDDR5_6400", "on_die", 0, "gaps between writes, in which the dies merge parts of a word"),
        ("DDR5_4800", "both", 50, "3.33 ns a read to decode"),
    ],
)
def test_partial_writes_are_merged(name: str, ecc: str, merges: int, words: str) -> None:
    memory = Memory(standard(name), ecc=ecc, partial_writes=True)
    asked = stream(memory.standard, 50, writes=True)
    service = serve(asked, memory)
    summary = ecc_summary(service, memory)
    assert summary is not None
    assert summary.merge_reads == merges
    assert words in summary.cost
    assert service.asked.cycles > serve(asked, replace(memory, partial_writes=False)).asked.cycles


def test_addresses_need_no_alignment() -> None:
    memory = standard("LPDDR5_6400")
    odd = Requests(np.array([False]), np.array([37]), np.array([0]))
    assert serve(odd, Memory(memory, ecc="side_band")).asked.addresses.tolist() == [32]


def test_inline_ecc_leaves_less(tmp_path: Path) -> None:
    memory = Memory(standard("LPDDR5_6400"), 2, ecc="side_band")
    room = usable_bytes(memory)
    assert room == pytest.approx(2 * memory.standard.channel_bytes * 8 / 9, rel=1e-6)
    assert usable_bytes(replace(memory, ecc="on_die")) == 2 * memory.standard.channel_bytes
    path = tmp_path / "far.txt"
    path.write_text(f"LD {room - 32}\nLD {room}\n")
    with pytest.raises(TraceError, match=rf"line 2: .*{room} bytes that in-line ECC leaves of "):
        run_trace(path, memory)
    assert run_trace(path, replace(memory, ecc="on_die")).record.requests == 2
    assert run_trace(path, memory, skip_bad=True).record.bad_lines == 1


def test_the_last_ninth_of_a_channel_is_no_place_for_data(tmp_path: Path) -> None:
    """With the channel's bit on top, the first channel's last bursts are within the sum, but not in its part.

    The search, and the advice, pass such mappings over.
    """
    memory = Memory(standard("LPDDR5_6400"), 2, "channel row bank^row group column group:1", ecc="side_band")
    last = memory.standard.channel_bytes - memory.standard.burst_bytes
    path = tmp_path / "last.txt"
    path.write_text(f"LD 0\nLD {last}\n" * 20)
    with pytest.raises(ChipError, match=rf"request 1: address {last} lies in the ninth .* in 'channel row "):
        run_trace(path, memory)
    assert run_trace(path, replace(memory, mapping="")).record.requests == 40
    found = run_trace(path, replace(memory, mapping=SEARCH)).record
    assert all(trial.cycles < 1e9 for trial in found.trials)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ecc": "on_die"}, r"--ecc: 'on_die' on GDDR6_16000; allowed: none, side_band"),
        ({"ecc": "chipkill"}, r"--ecc: 'chipkill' on GDDR6_16000; allowed: none, side_band"),
        (
            {"partial_writes": True},
            r"--partial-writes: without ECC there is nothing to merge; give --ecc too",
        ),
        ({"window": -1}, r"--window: -1; allowed: 0 \(no limit\), 1\.\.4096"),
        ({"window": 5000}, r"--window: 5000; allowed: 0 \(no limit\), 1\.\.4096"),
    ],
)
def test_memories_that_cannot_be(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ChipError, match=message):
        run_trace(tmp_path / "none.txt", replace(Memory(standard("GDDR6_16000")), **changes))


@pytest.fixture
def long_stream(tmp_path: Path) -> Path:
    path = tmp_path / "stream.txt"
    path.write_text("".join(f"LD {32 * number}\n" for number in range(20_000)))
    return path


def test_the_host_waits_as_the_window_says(long_stream: Path) -> None:
    memory = standard("HBM3_6400")
    asked = stream(memory, 20_000)
    for window in (0, 1, 16):
        record = run_trace(long_stream, Memory(memory, mapping="RoBaRaCoCh", window=window)).record
        run = run_requests(
            memory, asked.writes, asked.addresses, asked.arrivals, mapping="RoBaRaCoCh", window=window
        )
        assert (record.window, record.cycles) == (window, run.cycles)


def test_a_host_that_waits_is_named_with_a_better_mapping(long_stream: Path) -> None:
    """RoBaRaCoCh keeps 32 columns of one bank group on a pseudo-channel; a queue of 32 holds no more."""
    memory = Memory(standard("HBM3_6400"), mapping="RoBaRaCoCh", policy=Policy(read_queue=32))
    record = run_trace(long_stream, memory).record
    assert 0.35 < record.share_of_peak < 0.55
    assert "32 requests in a row go to one pseudo-channel" in record.verdict
    assert "the host waits until each request is taken" in record.verdict
    named = record.advice.split("'")[1]
    assert run_trace(long_stream, replace(memory, mapping=named)).record.share_of_peak > 0.85
    free = run_trace(long_stream, replace(memory, window=0)).record
    assert free.share_of_peak > 1.25 * record.share_of_peak
    assert "in a row" not in free.verdict


def test_a_full_queue_that_holds_the_rest_back_is_named(tmp_path: Path) -> None:
    """64 conflicts in one bank, then 64 in the next channel: one queue is full while the others are empty."""
    memory = Memory(standard("HBM3_6400"), 4, policy=Policy(read_queue=8))
    path = tmp_path / "bursty.txt"
    lines = [
        f"R {turn % 4},{turn // 4 % 2},0,0,0,{64 * turn + number},0\n"
        for turn in range(24)
        for number in range(64)
    ]
    path.write_text("".join(lines))
    record = run_trace(path, memory).record
    assert record.bound_by == "mapping"
    assert "a full queue of one pseudo-channel, to which 64 requests go in a row" in record.verdict
    assert "the host waits until each request is taken" in record.verdict
    assert record.advice.startswith("--mapping '")
    wider = run_trace(path, replace(memory, window=8)).record
    assert "the host sends at most 8 requests ahead of what is taken" in wider.verdict
    assert "full queue" not in run_trace(path, replace(memory, window=0)).record.verdict


def test_mappings_are_searched_as_the_host_sends(long_stream: Path) -> None:
    memory = Memory(standard("LPDDR5_6400"), mapping=SEARCH, ecc="side_band")
    record = run_trace(long_stream, memory).record
    assert record.trials[0].cycles == record.cycles
    assert record.trials[0].requests == record.requests
