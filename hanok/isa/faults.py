"""Why a core stops: the causes that its `cause` register, the emulator and the engine report."""

from __future__ import annotations

from enum import IntEnum


class Fault(IntEnum):
    """A cause; 0 means that the core has not stopped."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    NO_SUCH_UNIT = 2
    NO_SUCH_FLAG = 3
    NO_SUCH_WORD = 4
    NO_SUCH_BIT = 5
    CUT_SHORT = 6
    FETCH_ERROR = 7
    UNALIGNED_CODE = 8
    ZERO_LENGTH = 9
    NO_SUCH_VALUE = 10
    NO_SUCH_BYTE = 11
    NO_SUCH_ADDRESS = 12
    BUS_ERROR = 13
    BANK_CONFLICT = 14
    NO_SUCH_CODE = 15


MEANING = {
    Fault.NONE: "the core has not stopped",
    Fault.ILLEGAL_OPCODE: "no instruction has this opcode",
    Fault.NO_SUCH_UNIT: "wait or post names the unit itself or one that is not there",
    Fault.NO_SUCH_FLAG: "a flag is set that the instruction does not have",
    Fault.NO_SUCH_WORD: "the bitmap names words that the format does not have",
    Fault.NO_SUCH_BIT: "bits behind the last field of the format are set",
    Fault.CUT_SHORT: "the code ends within an instruction",
    Fault.FETCH_ERROR: "the memory answered a fetch with an error",
    Fault.UNALIGNED_CODE: "address or length of the code is not a multiple of 4",
    Fault.ZERO_LENGTH: "a length or a count is 0",
    Fault.NO_SUCH_VALUE: "a field holds a value that the instruction or the chip does not have",
    Fault.NO_SUCH_BYTE: "an access to SRAM or accumulators leaves them",
    Fault.NO_SUCH_ADDRESS: "a DRAM address is outside of the memory",
    Fault.BUS_ERROR: "the memory answered a load or a store with an error",
    Fault.BANK_CONFLICT: "two units used one port of a bank in the same cycle",
    Fault.NO_SUCH_CODE: "packed weights are no stream of their code, or their table is no code",
}
