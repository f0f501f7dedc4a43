"""The loader's commands and replies, which hardware and host share."""

from __future__ import annotations

from enum import IntEnum

SYNCHRONIZATION = 0x48
CHECKSUM_POLYNOMIAL, CHECKSUM_START = 0x1021, 0xFFFF
CHECKSUM_BITS = 16
HEADER_BYTES, CHECKSUM_BYTES, WORD_BYTES = 7, 2, 4
MOST_BYTES = 0xFFFF
"""Of one command."""
BAUD = 1_000_000


class Command(IntEnum):
    """What the host asks for."""

    READ_MEMORY = 1
    WRITE_MEMORY = 2
    READ_REGISTER = 3
    WRITE_REGISTER = 4


class Reply(IntEnum):
    """What the loader says of a command, or of what followed it."""

    DONE = 0x06
    WRONG_CHECKSUM = 0x15
    REFUSED = 0x18
