"""A core on an FPGA board as its host sees it: memory and registers behind a UART, programs run there."""

from __future__ import annotations

import importlib.util
from binascii import crc_hqx
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hanok.errors import HanokError
from hanok.flows._execution import Execution, Progress, quiet
from hanok.flows._inputs import complete_inputs
from hanok.isa import NpuStage, Program, decode
from hanok.isa.faults import Fault
from hanok.rtl.fpga_protocol import (
    BAUD,
    CHECKSUM_BYTES,
    CHECKSUM_START,
    MOST_BYTES,
    SYNCHRONIZATION,
    WORD_BYTES,
    Command,
    Reply,
)
from hanok.rtl.register_map import BY_NAME, CAUSE_BITS, IDENTIFIER
from hanok.simulator import emulate

Array = npt.NDArray[Any]
_BUSY, _DONE, _FAULT = 1, 2, 4
_ATTEMPTS = 3
_REPLY_SECONDS = 1.0


class Link(Protocol):
    """Bytes to and from the board."""

    def write(self, content: bytes) -> object:
        """Send bytes."""

    def read(self, count: int) -> bytes:
        """Return `count` bytes, or fewer where no more come."""


class Board:
    """A core behind its loader (docs/rtl.md, FPGA). Raises HanokError where the board does not answer."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def write_memory(self, address: int, content: bytes) -> None:
        """Write bytes, and again where they did not arrive."""
        for at in range(0, len(content), MOST_BYTES):
            piece = content[at : at + MOST_BYTES]
            self._command(Command.WRITE_MEMORY, address + at, len(piece), piece)

    def read_memory(self, address: int, count: int) -> bytes:
        """Return bytes of memory."""
        return b"".join(
            self._command(Command.READ_MEMORY, address + at, min(MOST_BYTES, count - at))
            for at in range(0, count, MOST_BYTES)
        )

    def write_register(self, name: str, value: int) -> None:
        """Write a register of the core."""
        content = value.to_bytes(WORD_BYTES, "little")
        self._command(Command.WRITE_REGISTER, BY_NAME[name].offset, WORD_BYTES, content)

    def read_register(self, name: str) -> int:
        """Return a register of the core."""
        return int.from_bytes(
            self._command(Command.READ_REGISTER, BY_NAME[name].offset, WORD_BYTES), "little"
        )

    def run(self, code_address: int, code_bytes: int, most_seconds: float = 60.0) -> int:
        """Run code that lies in memory to its end; return its cycles. Raises HanokError if the core stops."""
        for name, value in (
            ("status", _DONE | _FAULT),
            ("code_bytes", code_bytes),
            ("code_address_low", code_address & 0xFFFF_FFFF),
            ("code_address_high", code_address >> 32),
            ("control", 1),
        ):
            self.write_register(name, value)
        limit = monotonic() + most_seconds
        while not (status := self.read_register("status")) & (_DONE | _FAULT):
            if monotonic() > limit:
                raise HanokError(f"the core has not ended after {most_seconds:g} s")
        if status & _FAULT:
            fault = Fault(self.read_register("cause") & (1 << CAUSE_BITS) - 1)
            where = self.read_register("fault_offset")
            raise HanokError(f"the core has stopped: {fault.name.lower()}, at byte {where} of its code")
        return self.read_register("cycles_low") | self.read_register("cycles_high") << 32

    def _command(self, command: Command, address: int, count: int, content: bytes = b"") -> bytes:
        reply = b""
        for _ in range(_ATTEMPTS):
            reply = self._attempt(command, address, count, content)
            if reply[:1] == bytes([Reply.DONE]):
                return reply[1:]
            if reply[:1] == bytes([Reply.REFUSED]):
                raise HanokError(
                    f"the board refuses {command.name.lower()} of {count} bytes at {address:#x}; "
                    "is that within its memory?"
                )
        said = f"answers {reply[:1].hex()}" if reply else "does not answer"
        raise HanokError(f"the board {said}; is the bitstream loaded, and the port the right one?")

    def _attempt(self, command: Command, address: int, count: int, content: bytes) -> bytes:
        """Return the reply and what is read; a reply of WRONG_CHECKSUM where the answer is damaged."""
        header = bytes([command]) + address.to_bytes(4, "little") + count.to_bytes(2, "little")
        self._link.write(bytes([SYNCHRONIZATION]) + _with_checksum(header))
        reply = self._link.read(1)
        if reply != bytes([Reply.DONE]):
            return reply
        if content:
            self._link.write(_with_checksum(content))
            return self._link.read(1)
        found = self._link.read(count + CHECKSUM_BYTES)
        if len(found) < count + CHECKSUM_BYTES or crc_hqx(reply + found, CHECKSUM_START):
            return bytes([Reply.WRONG_CHECKSUM])
        return reply + found[:count]


def _with_checksum(content: bytes) -> bytes:
    return content + crc_hqx(content, CHECKSUM_START).to_bytes(CHECKSUM_BYTES, "big")


def open_board(port: str) -> Board:
    """Return the board at a serial port. Raises HanokError where there is none that answers."""
    if importlib.util.find_spec("serial") is None:
        raise HanokError("talking to a board takes pyserial; install it: pip install 'hanok[fpga]'")
    import serial

    try:
        link = serial.Serial(port, BAUD, timeout=_REPLY_SECONDS)
    except serial.SerialException as error:
        raise HanokError(f"serial port {port}: {error}") from None
    board = Board(link)
    found = board.read_register("identifier")
    if found != IDENTIFIER:
        raise HanokError(f"serial port {port}: a core of identifier {found:#x}; expected {IDENTIFIER:#x}")
    return board


@dataclass(frozen=True)
class BoardRun:
    """What a program gave on a board, beside the emulator."""

    outputs: dict[str, Array]
    cycles: tuple[int, ...]
    """Of each stage."""
    different_bytes: int
    """Of memory, from what the emulator left there; over all stages."""
    warnings: tuple[str, ...]


def run_on_board(
    program: Program,
    board: Board,
    memory_bytes: int,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    progress: Progress = quiet,
) -> BoardRun:
    """Run a verified program on a board. Raises HanokError for one that its memory does not hold."""
    if program.dram_bytes > memory_bytes:
        raise HanokError(
            f"program '{program.name}' takes {program.dram_bytes:,} bytes of memory; "
            f"the board's design has {memory_bytes:,}"
        )
    values, warnings = complete_inputs(program, inputs or {}, seed)
    execution = _BoardExecution(program, values, board, progress)
    execution.run()
    return BoardRun(execution.outputs(), tuple(execution.cycles), execution.different_bytes, warnings)


class _BoardExecution(Execution):
    """An execution whose stages run on a board; the emulator is computed beside it."""

    def __init__(self, program: Program, inputs: dict[str, Array], board: Board, progress: Progress) -> None:
        super().__init__(program, inputs, progress)
        self.cycles: list[int] = []
        self.different_bytes = 0
        self._board = board

    def run_npu(self, stage: NpuStage, count_cycles: bool) -> None:
        """Write memory, run the stage, read memory."""
        board, expected = self._board, self.image.copy()
        self.progress("computing values")
        emulate(decode(stage.code), self.program.chip, expected)
        self.progress(f"writing {len(self.image):,} bytes to the board")
        board.write_memory(0, self.image.tobytes())
        self.progress("running on the board")
        self.cycles.append(board.run(stage.code_address, len(stage.code)))
        self.progress(f"reading {len(self.image):,} bytes from the board")
        found = np.frombuffer(board.read_memory(0, len(self.image)), np.uint8)
        self.different_bytes += int(np.count_nonzero(found != expected))
        self.image[:] = found
