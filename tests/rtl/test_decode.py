"""The decoder against the software decoder, on random legal and hostile code and any pattern of stalls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.lib import data
from control_model import HAS_FLAGS, bad_masks, is_right_fault, refusal

from hanok.isa import INSTRUCTIONS, Opcode, Unit, decode, encode, encode_stream
from hanok.isa.faults import Fault
from hanok.isa.table import BY_OPCODE, Field
from hanok.rtl.decode import DECODE_STAGES, DECODED, Decoder
from hanok.rtl.simulate import Simulation

Row = tuple[Opcode, dict[str, Any]]
PLACE = {
    unit: DECODED["records"].offset + DECODED["records"].shape[unit.name.lower()].offset for unit in Unit
}
"""First bit of the record of each unit in what is offered."""


@pytest.fixture(scope="module")
def design() -> Simulation:
    return Simulation(Decoder())


def any_value(field: Field, opcode: Opcode, generator: np.random.Generator) -> Any:
    """A legal header, and anything in the other fields."""
    if field.name in ("wait", "post"):
        return int(generator.integers(0, 16))
    if field.name == "flags":
        return int(generator.integers(0, 8)) & HAS_FLAGS.get(opcode, 0)
    if field.code == "<f4":
        return [
            float(value) for value in generator.choice([0.0, -0.0, 1.5, float("nan"), 1e-45], field.count)
        ]
    info = np.iinfo(np.dtype(field.code))
    values = [int(value) for value in generator.integers(info.min, info.max, field.count, info.dtype, True)]
    values = [0 if generator.random() < 0.3 else value for value in values]
    return values if field.count > 1 else values[0]


def any_rows(generator: np.random.Generator, count: int) -> list[Row]:
    """Instructions of all formats that name any fields, many of them a change of the last of their opcode."""
    last: dict[Opcode, dict[str, Any]] = {}
    rows = []
    for opcode in generator.choice(np.array(Opcode), count):
        share, values = generator.choice([0.0, 0.1, 0.5, 1.0]), {}
        opcode = Opcode(opcode)
        if generator.random() < 0.7:
            values = dict(last.get(opcode, {}))
        for field in BY_OPCODE[opcode].format.fields[1:]:
            if generator.random() < share:
                values[field.name] = any_value(field, opcode, generator)
        last[opcode] = values
        rows.append((opcode, values))
    return rows


class Run:
    """What the decoder makes of code, and when."""

    def __init__(
        self, design: Simulation, code: bytes, seed: int, word_rate: float, ready_rate: float
    ) -> None:
        generator = np.random.default_rng(seed)
        words = np.frombuffer(code, "<u4").tolist()
        self.taken: list[tuple[int, Unit, bytes]] = []
        self.offered_at: list[int] = []
        self.fault: tuple[str, int] | None = None
        self.fault_read = 0
        self.dispatched: list[int] = []
        self.available = np.cumsum(generator.geometric(word_rate, len(words)) - 1).tolist()
        design.step(clear=1, words__valid=0, decoded__ready=0)
        design.set(clear=0)
        design.cycle = 0
        place, idle, was_offered, took = 0, 0, False, False
        while idle < 40:
            valid = place < len(words) and self.available[place] <= design.cycle
            word = words[place] | (place + 1 == len(words)) << 32 if valid else 0
            ready = int(generator.random() < ready_rate)
            cycle = design.cycle
            design.step(words__valid=int(valid), words__payload=word, decoded__ready=ready)
            self.dispatched.append(design.get("dispatched_bytes"))
            if not self.fault and not design.get("faulted"):
                assert design.get("starved") == (not took and not design.get("decoded__valid"))
            if design.get("decoded__valid"):
                if not was_offered:
                    self.offered_at.append(cycle)
                was_offered = not ready
                if ready:
                    self.take(design.get("decoded__payload"), cycle)
            if design.get("faulted"):
                assert self.fault is None
                self.fault = Fault(design.get("cause")).name, design.get("fault_offset")
                self.fault_read = 4 * place - 4 * took
            took = bool(valid and design.get("words__ready"))
            if took:
                place, idle = place + 1, 0
            idle = idle + 1 if place == len(words) or self.fault else 0
        self.read = 4 * place
        self.busy = design.get("busy")

    def take(self, payload: int, cycle: int) -> None:
        unit = Unit(payload & 3)
        bits = payload >> PLACE[unit] & (1 << DECODED["records"].shape[unit.name.lower()].width) - 1
        self.taken.append((cycle, unit, bits.to_bytes(256, "little")))

    def check_records(self, code: bytes) -> None:
        """Held against the software; bits behind a TABLE's record may be anything."""
        decoded = decode(code)
        assert [unit for _, unit, _ in self.taken] == decoded.unit.tolist()
        for index, (_, _, found) in enumerate(self.taken):
            record = decoded.record(index).tobytes()
            used = sum(field.size_bytes for field in BY_OPCODE[Opcode(record[0])].format.fields)
            assert found[:used] == record[:used]

    def check_times(self, code: bytes) -> None:
        """The closed formula of hanok/rtl/decode.py, and the bytes behind each dispatch."""
        decoded, taken_before = decode(code), None
        for index, (taken, _, _) in enumerate(self.taken):
            first, words = int(decoded.offset_bytes[index]) // 4, int(decoded.size_bytes[index]) // 4
            arrivals = [self.available[first + number] + DECODE_STAGES for number in range(words)]
            offered = max(arrival + words - number for number, arrival in enumerate(arrivals))
            if taken_before is not None:
                offered = max(offered, taken_before + words)
            assert self.offered_at[index] == offered
            assert self.dispatched[taken] == 4 * first
            assert taken + 1 >= len(self.dispatched) or self.dispatched[taken + 1] == 4 * (first + words)
            taken_before = taken


@pytest.mark.parametrize(("word_rate", "ready_rate"), [(1, 1), (0.3, 1), (1, 0.1), (0.6, 0.6)])
@pytest.mark.parametrize("seed", range(6))
def test_records_and_their_cycles(design: Simulation, seed: int, word_rate: float, ready_rate: float) -> None:
    generator = np.random.default_rng(seed)
    rows = any_rows(generator, 40)
    code = encode_stream(rows) if seed % 2 else b"".join(encode(*row) for row in rows)
    run = Run(design, code, seed, word_rate, ready_rate)
    assert run.fault is None
    assert not run.busy
    run.check_records(code)
    run.check_times(code)


@pytest.mark.parametrize("row", INSTRUCTIONS, ids=lambda row: row.mnemonic)
def test_a_change_after_clear_changes_zeros(design: Simulation, row: Any) -> None:
    full = encode(row.opcode, {field.name: 1 for field in row.format.fields[1:] if field.name != "flags"})
    Run(design, full, 0, 1, 1)
    code = bytes([row.opcode, 1, 2, 0]) + bytes(8 if row.format.name == "vector" else 4)
    run = Run(design, code, 0, 1, 1)
    run.check_records(code)
    assert run.fault is None


def hostile(generator: np.random.Generator) -> bytes:
    """Legal code with a few bits or whole words turned, or cut."""
    code = bytearray(encode_stream(any_rows(generator, int(generator.integers(1, 8)))))
    for _ in range(int(generator.integers(0, 4))):
        at = int(generator.integers(0, len(code)))
        code[at] = code[at] ^ 1 << int(generator.integers(0, 8)) if generator.random() < 0.7 else 0xFF
    if generator.random() < 0.3:
        code += generator.integers(0, 256, 4 * int(generator.integers(1, 5)), np.uint8).tobytes()
    cut = 4 * int(generator.integers(1, len(code) // 4 + 1))
    return bytes(code[:cut] if generator.random() < 0.3 else code)


def check_hostile(design: Simulation, code: bytes, seed: int) -> str:
    run = Run(design, code, seed, 0.8, 0.8)
    if run.fault is None:
        assert run.read == len(code)
        assert refusal(code) == ""
        assert not any(bad_masks(code, int(at)) for at in decode(code).offset_bytes)
        run.check_records(code)
        return "legal"
    cause, offset = run.fault
    assert run.read <= run.fault_read + 8, "no more words were taken than there are stages"
    assert is_right_fault(code, run.fault_read, offset, cause)
    assert run.busy
    run.check_records(code[:offset])
    return cause


def test_hostile_code_stops_the_decoder_with_its_cause(design: Simulation) -> None:
    generator, causes = np.random.default_rng(5), []
    for seed in range(400):
        causes.append(check_hostile(design, hostile(generator), seed))
    assert set(causes) == {
        "legal", "ILLEGAL_OPCODE", "NO_SUCH_UNIT", "NO_SUCH_FLAG", "NO_SUCH_WORD", "NO_SUCH_BIT", "CUT_SHORT",
    }  # fmt: skip


def test_each_opcode_flag_and_mask_bit(design: Simulation) -> None:
    """Every opcode of 256, and for each instruction every bit of wait, post and flags."""
    for number in range(256):
        words = 3 if number == Opcode.CHAIN else 2
        cause = check_hostile(design, bytes([number, 0, 0, 0x80]).ljust(4 * words, b"\0"), 0)
        assert cause == ("legal" if number in list(Opcode) else "ILLEGAL_OPCODE")
    for opcode in Opcode:
        for byte in (1, 2, 3):
            for bit in range(8):
                head = bytearray([opcode, 0, 0, 0])
                head[byte] = 1 << bit
                bitmap = bytes(8 if opcode is Opcode.CHAIN else 4)
                cause = check_hostile(design, bytes(head) + bitmap, 0)
                allowed = HAS_FLAGS.get(opcode, 0) | 0x80 if byte == 3 else 0xF
                expected = "NO_SUCH_FLAG" if byte == 3 else "NO_SUCH_UNIT"
                assert cause == ("legal" if allowed >> bit & 1 else expected)


def test_a_word_that_memory_could_not_read(design: Simulation) -> None:
    design.step(clear=1, words__valid=0, decoded__ready=1)
    head = int.from_bytes(bytes([Opcode.LOAD, 0, 0, 0]), "little")
    design.step(clear=0, words__valid=1, words__payload=head)
    design.step(words__payload=1 << 33)
    design.step(words__valid=0)
    design.step()
    assert (design.get("faulted"), design.get("cause"), design.get("fault_offset")) == (
        1,
        Fault.FETCH_ERROR,
        0,
    )
    design.step(words__valid=1, words__payload=0)
    assert (design.get("faulted"), design.get("words__ready"), design.get("decoded__valid")) == (0, 0, 0)


def test_the_layout_is_that_of_the_instruction_table() -> None:
    assert isinstance(DECODED, data.StructLayout)
    assert {unit.name.lower() for unit in Unit} == set(DECODED["records"].shape.members)
