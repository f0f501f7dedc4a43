"""The marks of a core of which there is Verilog alone, read from outside, as any host would run it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hanok.machine import Chip
from hanok.rtl.core import Core
from hanok.rtl.gate_netlist import read_netlist
from hanok.rtl.gate_simulation import GateSimulation
from hanok.rtl.interface import CLOCK, INTERRUPT, RESET
from hanok.rtl.mark_programs import wrong_program
from hanok.rtl.marks import BLOCKS, CAUSE_MARK_BITS, COUNTER_MARK_BITS, INDEX_BITS, MarkedBlock, marks_of
from hanok.rtl.register_map import BY_NAME, CAUSE_BITS, FIRST_OPEN, WORD_BYTES
from hanok.rtl.registers import SLAVE_ERROR

MOST_RUN_CYCLES, MOST_ANSWER_CYCLES = 2000, 100
CODE_ADDRESS = 0
KNOWN_BY = "s_axi_control_awvalid"
"""An input that the core alone has."""
_INDEXES = 1 << INDEX_BITS
_REGISTERS, *_FAULTING = BLOCKS
"""The first block answers a read, the others a program."""

Lane = NDArray[np.uint64]
Known = NDArray[np.bool_]


def read_marks(chip: Chip, sources: list[str]) -> list[int | None]:
    """Return the bit of each of `MARKS` marks of a core in Verilog, None where the core does not answer.

    `sources` are texts of Verilog: modules of the core, or cells of a netlist of it and the models of these
    cells. Its ports have the names of the delivery; what is around it does not matter. Nothing of it is
    executed: Yosys reads it in a sandbox, and its gates are evaluated from tables. Raises HanokError for what
    is no such core, or cannot be read (`read_netlist`).
    """
    questions = [(block, index) for block in _FAULTING for index in range(_INDEXES)]
    reader = _Reader(
        Core(chip).burst_bytes, GateSimulation(read_netlist(sources, CLOCK, KNOWN_BY), len(questions))
    )
    words = {_REGISTERS.name: reader.open_registers()[:_INDEXES]}
    answers = reader.answers(questions)
    for number, block in enumerate(_FAULTING):
        words[block.name] = answers[number * _INDEXES : (number + 1) * _INDEXES]
    return marks_of(words)


class _Reader:
    """A suspect in as many lanes as there are programs to run, each lane with a memory that holds its own."""

    def __init__(self, burst_bytes: int, simulation: GateSimulation) -> None:
        self._burst_bytes, self._simulation = burst_bytes, simulation
        simulation.step(**{RESET: 1})
        simulation.set(**{RESET: 0}, s_axi_control_bready=1, s_axi_control_rready=1)

    def open_registers(self) -> list[int | None]:
        """What each lane answers where there is no register, at an address by its number."""
        index = np.arange(self._simulation.lanes, dtype=np.uint64) % np.uint64(_INDEXES)
        content, response, answered = self._read(FIRST_OPEN + WORD_BYTES * index)
        return _where(answered & (response == SLAVE_ERROR), content)

    def answers(self, questions: Sequence[tuple[MarkedBlock, int]]) -> list[int | None]:
        """What a block answers for an index, by lane, after its program has ended as it must."""
        programs = [wrong_program(block.name, index) for block, index in questions]
        fault = np.array([int(fault) for _, fault in programs], np.uint64)
        ended = self._run([code for code, _ in programs])
        cause, _, told = self._read(_offsets([BY_NAME["cause"].offset] * len(questions)))
        of_cause = np.array([block.bits == CAUSE_MARK_BITS for block, _ in questions])
        names = [
            "cause" if block.bits == CAUSE_MARK_BITS else f"{block.name}_busy_low" for block, _ in questions
        ]
        low = _offsets([BY_NAME[name].offset for name in names])
        self._read(low)
        counter, _, counted = self._read(low + WORD_BYTES)
        right = ended & told & (cause & _ones(CAUSE_BITS) == fault) & (of_cause | counted)
        shift = np.uint64(CAUSE_BITS), np.uint64(32 - COUNTER_MARK_BITS)
        return _where(right, np.where(of_cause, cause >> shift[0], counter >> shift[1]))

    def _run(self, codes: Sequence[bytes]) -> Known:
        """Run a code in each lane; return which have said that they ended."""
        sizes = np.array([len(code) for code in codes], np.uint64)
        for name, value in (
            ("status", 0b110),
            ("interrupt_enable", 0b110),
            ("code_bytes", sizes),
            ("code_address_low", CODE_ADDRESS),
            ("code_address_high", 0),
            ("control", 1),
        ):
            self._write(BY_NAME[name].offset, value)
        memory = self._memory(codes)
        self._simulation.set(
            m_axi_fetch_arready=1, m_axi_load_arready=1, m_axi_store_awready=1, m_axi_store_wready=1
        )
        ended = np.zeros(self._simulation.lanes, np.bool_)
        for _ in range(MOST_RUN_CYCLES):
            self._step_with(memory)
            ended |= self._simulation.get(INTERRUPT) != 0
            if ended.all():
                break
        return ended

    def _memory(self, codes: Sequence[bytes]) -> NDArray[np.uint8]:
        """Return the bursts [lane, burst, byte] of each lane's code, and one of zeros behind them."""
        bursts = -(-max(map(len, codes)) // self._burst_bytes) + 1
        content = np.zeros((len(codes), bursts * self._burst_bytes), np.uint8)
        for lane, code in enumerate(codes):
            content[lane, : len(code)] = np.frombuffer(code, np.uint8)
        return content.reshape(len(codes), bursts, self._burst_bytes)

    def _step_with(self, memory: NDArray[np.uint8]) -> None:
        """Go on a cycle: answer all that was asked for in the cycle before."""
        simulation = self._simulation
        for name in ("fetch", "load"):
            prefix = f"m_axi_{name}"
            asked = simulation.get(f"{prefix}_arvalid")
            burst = simulation.get(f"{prefix}_araddr") // np.uint64(self._burst_bytes)
            place = np.minimum(burst, np.uint64(memory.shape[1] - 1)).astype(np.int64)
            simulation.set(
                **{
                    f"{prefix}_rvalid": asked,
                    f"{prefix}_rlast": asked,
                    f"{prefix}_rdata": memory[np.arange(simulation.lanes), place],
                    f"{prefix}_rid": simulation.get(f"{prefix}_arid"),
                }
            )
        simulation.step(m_axi_store_bvalid=simulation.get("m_axi_store_awvalid"))

    def _write(self, offset: int, value: int | Lane) -> None:
        self._simulation.set(s_axi_control_wstrb=15)
        self._ask({"aw": ("addr", offset), "w": ("data", value)}, "b")

    def _read(self, offset: Lane) -> tuple[Lane, Lane, Known]:
        """Return what stands at an address, the response beside it, and whether there was any."""
        return self._ask({"ar": ("addr", offset)}, "r")

    def _ask(self, channels: dict[str, tuple[str, int | Lane]], answering: str) -> tuple[Lane, Lane, Known]:
        """Hold what is asked on its channels until it is taken; return data and response of the answer."""
        simulation, prefix = self._simulation, "s_axi_control_"
        lanes = simulation.lanes
        waiting = {name: np.ones(lanes, np.bool_) for name in channels}
        answered = np.zeros(lanes, np.bool_)
        data, response = np.zeros(lanes, np.uint64), np.zeros(lanes, np.uint64)
        for name, (signal, value) in channels.items():
            simulation.set(**{f"{prefix}{name}{signal}": value})
        for _ in range(MOST_ANSWER_CYCLES):
            simulation.set(**{f"{prefix}{name}valid": waits for name, waits in waiting.items()})
            simulation.step()
            for name in channels:
                waiting[name] &= simulation.get(f"{prefix}{name}ready") == 0
            now = (simulation.get(f"{prefix}{answering}valid") != 0) & ~answered
            response[now] = simulation.get(f"{prefix}{answering}resp")[now]
            if answering == "r":
                data[now] = simulation.get(f"{prefix}rdata")[now]
            answered |= now
            if answered.all():
                break
        simulation.set(**{f"{prefix}{name}valid": 0 for name in channels})
        return data, response, answered


def _offsets(offsets: Sequence[int]) -> Lane:
    return np.array(offsets, np.uint64)


def _ones(bits: int) -> np.uint64:
    return np.uint64((1 << bits) - 1)


def _where(right: Known, words: Lane) -> list[int | None]:
    return [int(word) if one else None for one, word in zip(right, words, strict=True)]
