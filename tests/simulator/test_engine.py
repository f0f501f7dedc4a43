"""The cycle engine on cases whose cycles are worked out by hand, its closed forms, and what it refuses."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_programs import (
    random_chip,
    random_convolution,
    random_matrix,
    random_program,
    random_vector,
    small_chip,
)
from stepped_model import matrix_tiles, vector_cycles

from hanok.dram import Command, Standard, check_commands, get_standard
from hanok.errors import HanokError, ProgramError, VerifyError
from hanok.isa import Opcode, Unit, decode, encode
from hanok.isa.faults import Fault
from hanok.isa.timing import matrix_schedule
from hanok.machine import Chip, preset_names
from hanok.simulator._work import matrix_work, vector_work
from hanok.simulator.counters import CAUSE_MEANING, Cause
from hanok.simulator.engine import simulate

CHIP = small_chip()
"""1 GHz; 32-byte bursts of 32 cycles, 20 more until the data, 3 more of latency_cycles; 16 bytes a cycle."""


def standard_of(chip: Chip) -> Standard:
    found = get_standard(chip.memory.standard)
    assert isinstance(found, Standard)
    return found


def transfer(**changes: Any) -> dict[str, Any]:
    return {"run_bytes": 64, "dram_address": 4096, "count_3": 1, "count_2": 1, "count_1": 1, **changes}


def conv(**changes: Any) -> dict[str, Any]:
    fields = {"out_height": 1, "out_width": 1, "taps_y": 1, "taps_x": 1, "tap_bytes": 8, "blocks": 1}
    return {**fields, "last_columns": 8, "pixel_pitch": 1, **changes}


def program(*instructions: tuple[Opcode, dict[str, Any]]) -> bytes:
    return b"".join(encode(opcode, values) for opcode, values in instructions)


def test_empty_program_takes_no_cycles() -> None:
    timing = simulate(b"", CHIP)
    assert (timing.cycles, timing.macs, timing.utilisation) == (0, 0, 0.0)


def first_word(code: bytes) -> int:
    """Cycle in which the words of the last burst of an instruction can be decoded.

    Their requests are on the bus from cycle 1 on, so that the channel begins then. Its bursts come one after
    the other, then 20 + 3 cycles pass, and 4 from the bus to the decoder.
    """
    return 1 + 32 * -(-len(code) // 32) + 23 + 4


def decoded_at(code: bytes) -> int:
    """Cycle in which an instruction is dispatched: the words of its last burst go in one a cycle."""
    return first_word(code) + (len(code) - 1) % 32 // 4 + 1


def test_one_load_by_hand() -> None:
    # Requests at 3 and 4 are on the bus at 5 and 6; the channel is busy to 37 and 69; data 23 later, at 60
    # and 92, and 4 more to SRAM, where each burst takes two beats: 64, 65, 96, 97.
    code = program((Opcode.LOAD, transfer()))
    assert len(code) <= 32
    ready, timing = decoded_at(code), simulate(code, CHIP)
    start, end = ready + 3, ready + 3 + 98
    assert timing.dispatch.tolist() == [ready]
    assert timing.start.tolist() == [start]
    assert timing.end.tolist() == [end]
    assert timing.cycles == end + 1
    load = timing.causes[Unit.LOAD]
    # Without words to the first, and again between dispatch and start, when there are none any more.
    assert load[Cause.FETCH] == first_word(code) + 2
    assert load[Cause.DISPATCH] == len(code) // 4 + 1
    assert load[Cause.BUSY] == 2 + 4
    assert load[Cause.DRAM] == 98 - 6
    assert load[Cause.END] == 1
    assert timing.causes[Unit.VECTOR, Cause.END] == end + 1
    assert (timing.load_bytes, timing.store_bytes) == (64, 0)
    assert timing.fetch_bytes == 32


def test_one_store_by_hand() -> None:
    # Beats in cycles 4, 5 fill the first burst, 6, 7 the second; requests at 6 and 8 are on the bus at 12 and
    # 14 and accepted at once, with responses at 13 and 15. What the channel writes after that, nobody waits
    # for.
    code = program((Opcode.STORE, transfer()))
    start, timing = decoded_at(code) + 3, simulate(code, CHIP)
    assert (timing.start.tolist(), timing.end.tolist(), timing.cycles) == ([start], [start + 16], start + 17)
    assert timing.causes[Unit.STORE, Cause.BUSY] == 5
    assert timing.causes[Unit.STORE, Cause.DRAM] == 11
    assert timing.store_bytes == 64
    assert timing.dram.writes == 2


def test_runs_in_the_burst_at_hand_cost_the_requests_a_cycle_each() -> None:
    # 32 runs of 2 bytes: requests at 3 and 19, each with 15 more runs in its burst; the next LOAD is at 35.
    # In a line of two bursts there are 31 more behind the request at 3.
    runs = transfer(run_bytes=2, count_1=32, dram_stride_1=2)
    code = program((Opcode.LOAD, runs), (Opcode.LOAD, transfer()))
    for width in (16, 64):
        timing = simulate(code, small_chip(standard="FLAT:64000", bytes_per_cycle=width))
        assert timing.dispatch[1] < timing.dispatch[0] + 32
        assert timing.start[1] == timing.start[0] + 35


def test_words_are_decoded_one_a_cycle() -> None:
    # All of the code is there long before it is dispatched: behind the first TABLE, each takes its two words.
    code = program(*[(Opcode.TABLE, {})] * 40)
    timing = simulate(code, small_chip(standard="FLAT:64000", queue_depth=64, semaphore_limit=65))
    assert np.diff(timing.dispatch).tolist() == [len(code) // 40 // 4] * 39
    assert timing.cycles == timing.end[-1] + 1


def test_fill_takes_its_beats_and_no_dram() -> None:
    # 3 * 2 runs of 40 bytes, 16 bytes a cycle: 18 beats, from the ninth cycle after the start on.
    timing = simulate(program((Opcode.FILL, transfer(run_bytes=40, count_1=3, count_2=2))), CHIP)
    assert (timing.end - timing.start).tolist() == [9 + 18]
    assert timing.load_bytes == 0


def test_matrix_by_hand() -> None:
    # Two tiles of 8 rows and bias on the first: preload 12 + 2 and 8 + 2, streams of 6: 14 + max(10, 6) + 6,
    # then the pipeline of 5 + log2(8) = 8 stages and the write of the sums.
    code = program((Opcode.CONV, conv(out_height=2, out_width=3, tap_bytes=16, flags=1)))
    timing = simulate(code, CHIP)
    assert (timing.end - timing.start).tolist() == [14 + 10 + 6 + 8 + 1]
    assert timing.macs == 6 * 16 * 8
    assert timing.stream_cycles == 12
    assert timing.array_slots == 12 * 64
    assert timing.utilisation == timing.macs / (timing.cycles * 64)


def test_depthwise_macs_and_stream() -> None:
    # Each of 3 vertical taps streams 2 rows of (4 - 1) * 1 + (3 - 1) * 1 + 1 = 6 pixels, in 2 blocks.
    fields = conv(out_height=2, out_width=4, taps_y=3, taps_x=3, tap_bytes=1, blocks=2, last_columns=5)
    timing = simulate(program((Opcode.DEPTHWISE, {**fields, "x_stride": 1, "x_tap": 1})), CHIP)
    assert timing.stream_cycles == 2 * 3 * 12
    assert timing.macs == 8 * 9 * (8 + 5)


def test_a_runs_end_in_another_burst_takes_a_store_a_cycle() -> None:
    # Bytes 24 to 39 lie in two bursts: a beat at 4, a step at 5, and requests at 5 and 6; the last is on the
    # bus at 12 and answered at 13. In a line of two bursts there is one request, at 5.
    code = program((Opcode.STORE, transfer(run_bytes=16, dram_address=4096 + 24)))
    timing = simulate(code, CHIP)
    assert (timing.end - timing.start).tolist() == [14]
    timing = simulate(code, small_chip(bytes_per_cycle=64))
    assert (timing.end - timing.start).tolist() == [13]


def test_semaphore_wait_is_charged_to_the_poster() -> None:
    code = program((Opcode.LOAD, transfer(post=1 << Unit.VECTOR)), (Opcode.TABLE, {"wait": 1 << Unit.LOAD}))
    timing = simulate(code, CHIP)
    assert timing.start[1] == timing.end[0] + 1
    vector = timing.causes[Unit.VECTOR]
    assert vector[Cause.WAIT_LOAD] == timing.end[0] + 1 - (timing.dispatch[1] + 3)


def test_runs_in_one_burst_are_fetched_once() -> None:
    runs = transfer(run_bytes=8, count_1=8, dram_stride_1=8)
    assert simulate(program((Opcode.LOAD, runs)), CHIP).load_bytes == 64
    assert simulate(program((Opcode.STORE, runs)), CHIP).store_bytes == 64
    back_and_forth = transfer(run_bytes=8, count_1=2, dram_stride_1=64, count_2=3)
    assert simulate(program((Opcode.LOAD, back_and_forth)), CHIP).load_bytes == 6 * 32


@pytest.mark.parametrize(
    ("address", "size", "stride", "count", "loaded", "stored"),
    [
        (0, 128, 0, 1, 4, 4),
        (96, 64, 0, 1, 1 + 1, 2),  # the last burst of a line, the first of the next
        (32, 32, 0, 1, 1, 1),
        (0, 64, 0, 1, 2, 2),
        (32, 64, 0, 1, 4, 2),  # AXI brings no two bursts in the middle of four
        (64, 160, 0, 1, 2 + 4, 2 + 3),
        (0, 8, 64, 2, 4, 2),  # two runs in a line: all of it is read, two bursts are written
        (0, 8, 128, 2, 1 + 1, 2),
        (0, 8, -128, 2, 1 + 1, 2),
    ],
)
def test_of_a_line_those_bursts_are_moved_that_are_wanted(
    address: int, size: int, stride: int, count: int, loaded: int, stored: int
) -> None:
    # Lines of 128 bytes; 4096 is a multiple of that.
    fields = transfer(dram_address=4096 + address, run_bytes=size, count_1=count, dram_stride_1=stride)
    chip = small_chip(bytes_per_cycle=128)
    timing = simulate(program((Opcode.LOAD, fields)), chip)
    assert (timing.load_bytes, timing.transferred_bytes.tolist()) == (32 * loaded, [32 * loaded])
    timing = simulate(program((Opcode.STORE, fields)), chip)
    assert (timing.store_bytes, timing.dram.writes) == (32 * stored, stored)


def test_wide_engine_asks_for_several_bursts_in_a_cycle() -> None:
    wide = small_chip(bytes_per_cycle=128, outstanding=64, standard="FLAT:1000000", channels=1)
    narrow = small_chip(bytes_per_cycle=32, outstanding=64, standard="FLAT:1000000", channels=1)
    code = program((Opcode.LOAD, transfer(run_bytes=1 << 16)))
    cycles = [
        int(np.diff([timing.start[0], timing.end[0]])[0])
        for timing in (simulate(code, wide), simulate(code, narrow))
    ]
    assert cycles[0] == pytest.approx((1 << 16) / 128, abs=40)
    assert cycles[1] == pytest.approx((1 << 16) / 32, abs=40)


def test_outstanding_bounds_the_bandwidth() -> None:
    # One burst in flight, from the third cycle after the start on: each of 64 takes 2 cycles to the bus,
    # 32 + 20 + 3 back, 4 to SRAM, and two beats.
    timing = simulate(program((Opcode.LOAD, transfer(run_bytes=2048))), small_chip(outstanding=1))
    assert timing.end[0] - timing.start[0] == 3 + 64 * (2 + 32 + 20 + 3 + 4 + 2)


def test_head_of_line_blocking_in_dispatch() -> None:
    # The vector queue holds one; the third TABLE waits there, and the LOAD behind it is not dispatched.
    chip = small_chip(queue_depth=1)
    table = (Opcode.TABLE, {})
    timing = simulate(program(table, table, table, table, (Opcode.LOAD, transfer())), chip)
    assert timing.dispatch[4] > timing.start[2]
    blocked = simulate(program(*[table] * 60, (Opcode.LOAD, transfer())), chip)
    assert blocked.causes[Unit.LOAD, Cause.DISPATCH] > 0


def test_full_counter_stalls_and_drops_nothing() -> None:
    chip = small_chip(queue_depth=1, semaphore_limit=2)
    # Three posts to the store unit, whose first instruction waits for the matrix unit for a long time.
    posts = [(Opcode.TABLE, {"post": 1 << Unit.STORE})] * 3
    slow = (Opcode.CONV, conv(out_height=60, out_width=60, post=1 << Unit.STORE))
    first = (Opcode.STORE, transfer(wait=1 << Unit.MATRIX | 1 << Unit.VECTOR))
    rest = [(Opcode.STORE, transfer(wait=1 << Unit.VECTOR))] * 2
    timing = simulate(program(slow, *posts, first, *rest), chip)
    # The first STORE takes a count and starts; the third post goes one cycle later, which is charged as well.
    assert timing.start[4] == timing.end[0] + 1
    assert timing.causes[Unit.VECTOR, Cause.FULL_COUNTER] == timing.start[4] + 2 - timing.end[3]
    assert (timing.end > 0).all()


@pytest.mark.parametrize("seed", range(40))
def test_matrix_closed_form_is_the_tile_recurrence(seed: int) -> None:
    rng = random.Random(seed)
    chip = random_chip(rng)
    for _ in range(20):
        opcode = rng.choice([Opcode.CONV, Opcode.DEPTHWISE])
        fields = (random_convolution if opcode is Opcode.CONV else random_matrix)(rng)
        code = encode(opcode, {**fields, "tap_bytes": rng.randint(1, 60)})
        decoded = decode(code)
        _, work, tiles, _ = matrix_work(decoded, chip.core.matrix)
        preloads, stream = matrix_tiles(decoded.record(0), chip)
        ready, loader, streamer = rng.randrange(100), rng.randrange(100), rng.randrange(100)
        expected = matrix_schedule(chip.core.matrix, ready, loader, streamer, preloads, stream)
        start = max(ready, loader)
        first = max(start + int(work[0, 0]), streamer)
        last = first + int(work[0, 1])
        end = last + stream + chip.core.matrix.depth_cycles + 1
        assert (start, end, last, last + stream) == expected
        assert (int(work[0, 2]), int(tiles[0])) == (stream, len(preloads))


@pytest.mark.parametrize("seed", range(20))
def test_vector_cycles_are_the_isa_formula(seed: int) -> None:
    rng = random.Random(seed)
    chip = random_chip(rng)
    decoded = decode(
        b"".join(encode(Opcode.CHAIN, random_vector(rng)) for _ in range(50)) + encode(Opcode.TABLE, {})
    )
    indices, cycles = vector_work(decoded, chip.core.vector)
    assert indices.tolist() == list(range(51))
    assert cycles.tolist() == [vector_cycles(decoded.record(index), chip) for index in range(51)]


def test_bytes_and_decoded_give_the_same_and_twice() -> None:
    rng = random.Random(5)
    code = random_program(rng, 30)
    first, second = simulate(code, CHIP), simulate(decode(code), CHIP)
    np.testing.assert_array_equal(first.end, second.end)
    np.testing.assert_array_equal(first.causes, second.causes)


def test_a_command_trace_holds_what_was_counted() -> None:
    chip = small_chip(standard="LPDDR5_6400", channels=2)
    timing = simulate(program((Opcode.LOAD, transfer())), chip, trace_commands=1000)
    commands = timing.dram_commands
    assert commands is not None
    assert (commands["command"] == Command.RD).sum() == timing.dram.reads
    assert timing.dram.reads == (timing.load_bytes + timing.fetch_bytes) // 32
    assert check_commands(commands, standard_of(chip)).violations == 0
    with pytest.raises(HanokError, match="all 5 places are taken; ask for more"):
        simulate(program((Opcode.LOAD, transfer())), chip, trace_commands=5)


def test_bytes_moved_are_bytes_counted() -> None:
    code = random_program(random.Random(11), 40)
    timing = simulate(code, CHIP)
    assert timing.transferred_bytes.sum() == timing.load_bytes + timing.store_bytes
    assert (timing.dram.reads + timing.dram.forwarded_reads) * 32 == timing.dram_read_bytes
    assert (timing.dram.writes + timing.dram.coalesced_writes) * 32 == timing.dram_write_bytes


def test_active_cycles_are_busy_and_dram_cycles() -> None:
    timing = simulate(random_program(random.Random(4), 60), CHIP)
    for unit in Unit:
        active = timing.active_cycles_of[timing.unit == unit].sum()
        assert active == timing.causes[unit, Cause.BUSY] + timing.causes[unit, Cause.DRAM]


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_runs(name: str) -> None:
    chip = Chip.load(name)
    code = program(
        (Opcode.LOAD, transfer(run_bytes=4096, post=4)),
        (Opcode.CONV, conv(wait=1)),
        (Opcode.STORE, transfer()),
    )
    timing = simulate(code, chip)
    assert (timing.causes.sum(axis=1) == timing.cycles).all()


def test_every_cause_stands_in_the_document() -> None:
    text = (Path(__file__).parents[2] / "docs" / "timing.md").read_text("utf-8")
    assert set(CAUSE_MEANING) == set(Cause)
    for cause, meaning in CAUSE_MEANING.items():
        assert f"| {cause.name} | {meaning} |" in text


def test_deadlock_names_what_waits() -> None:
    code = program((Opcode.TABLE, {"wait": 1 << Unit.LOAD}), (Opcode.STORE, transfer(wait=1 << Unit.VECTOR)))
    expected = (
        r"deadlock: STORE instruction 1 \(STORE\) waits for a post of VECTOR; VECTOR instruction 0 \(TABLE\) "
    )
    with pytest.raises(VerifyError, match=expected + "waits for a post of LOAD"):
        simulate(code, CHIP)


def test_deadlock_on_a_full_counter() -> None:
    chip = small_chip(queue_depth=1, semaphore_limit=2)
    with pytest.raises(VerifyError, match=r"VECTOR instruction 2 \(TABLE\) cannot post to LOAD"):
        simulate(program(*[(Opcode.TABLE, {"post": 1})] * 3), chip)


def test_deadlock_behind_a_full_queue() -> None:
    blocked = [(Opcode.TABLE, {"wait": 1})] * 3
    with pytest.raises(VerifyError, match=r"LOAD instruction 3 \(LOAD\) is not dispatched"):
        simulate(program(*blocked, (Opcode.LOAD, transfer(post=8))), small_chip(queue_depth=1))


@pytest.mark.parametrize(
    ("opcode", "fields", "message"),
    [
        (Opcode.LOAD, transfer(count_1=0), "run_bytes or a count is 0"),
        (Opcode.STORE, transfer(run_bytes=0), "run_bytes or a count is 0"),
        (
            Opcode.LOAD,
            transfer(dram_address=(1 << 24) - 63),
            "it leaves DRAM; allowed: byte addresses 0..16777215",
        ),
        (Opcode.LOAD, transfer(dram_address=1 << 63), "it leaves DRAM"),
        (Opcode.STORE, transfer(count_1=3, dram_stride_1=-4096), "it leaves DRAM"),
        (
            Opcode.LOAD,
            transfer(count_1=1 << 20, count_2=1 << 20),
            "with it the stage moves more than 268435456 DRAM bursts",
        ),
        (
            Opcode.LOAD,
            transfer(run_bytes=(1 << 32) - 1, count_1=1 << 20),
            "with it the stage moves more than",
        ),
        (Opcode.CONV, conv(out_height=0), "a count is 0"),
        (Opcode.CONV, conv(out_height=(1 << 32) - 1, out_width=(1 << 32) - 1), "it takes more than"),
        (Opcode.DEPTHWISE, conv(pixel_pitch=0), "pixel_pitch is 0"),
        (Opcode.DEPTHWISE, conv(x_stride=-1, out_width=2), "its windows step backwards"),
        (Opcode.CHAIN, {}, "a loop count is 0"),
        (
            Opcode.CHAIN,
            dict.fromkeys(("outer_2", "outer_1", "outer_0", "reduce_1", "reduce_0", "inner"), 65535),
            "it takes more than",
        ),
        (Opcode.TABLE, {"wait": 16}, "wait 16 or post 0 names a unit that is not there; allowed: bits 0..3"),
    ],
)
def test_refuses(opcode: Opcode, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(VerifyError, match=f"instruction 1.*{message}"):
        simulate(program((Opcode.TABLE, {}), (opcode, fields)), CHIP)


def test_refuses_code_outside_dram() -> None:
    with pytest.raises(VerifyError, match=r"code of \d+ bytes at DRAM address 16777216 leaves DRAM"):
        simulate(program((Opcode.TABLE, {})), CHIP, code_address=1 << 24)


def test_refuses_code_that_does_not_begin_with_a_word() -> None:
    with pytest.raises(VerifyError, match="code at DRAM address 6; allowed: multiples of 4"):
        simulate(program((Opcode.TABLE, {})), CHIP, code_address=6)


def test_refuses_bytes_that_are_no_code() -> None:
    with pytest.raises(ProgramError, match="illegal opcode"):
        simulate(bytes(64), CHIP)


def test_hostile_bytes_give_a_timing_or_a_plain_error() -> None:
    rng = random.Random(1)
    for _ in range(300):
        code = b"".join(
            bytes([rng.choice(list(Opcode))]) + rng.randbytes(rng.choice([3, 7, 31])) for _ in range(3)
        )
        try:
            timing = simulate(code, CHIP)
        except HanokError:
            continue
        assert (timing.causes.sum(axis=1) == timing.cycles).all()


@pytest.mark.parametrize(
    ("code", "address", "cause"),
    [
        (encode(Opcode.TABLE, {"address": 0}), 2, Fault.UNALIGNED_CODE),
        (encode(Opcode.TABLE, {"address": 0}), 1 << 40, Fault.FETCH_ERROR),
        (encode(Opcode.TABLE, {"address": 0, "post": 1 << len(Unit)}), 0, Fault.NO_SUCH_UNIT),
        (encode(Opcode.TABLE, {"address": 0})[:-4], 0, Fault.CUT_SHORT),
        (b"\xee\0\0\0", 0, Fault.ILLEGAL_OPCODE),
    ],
)
def test_refusals_have_the_cause_that_the_core_reports(code: bytes, address: int, cause: Fault) -> None:
    with pytest.raises((ProgramError, VerifyError)) as found:
        simulate(code, Chip.load("nano"), code_address=address)
    assert found.value.cause == cause
