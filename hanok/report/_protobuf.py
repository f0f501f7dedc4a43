"""The protobuf wire format, as far as writing needs it: varints, strings, nested messages.

Source: protobuf.dev/programming-guides/encoding. A message is its fields one after another, so building
one is joining byte strings.
"""

from __future__ import annotations

import struct

_VARINT, _FIXED64, _LENGTH = 0, 1, 2
_MASK64 = (1 << 64) - 1


def varint(value: int) -> bytes:
    """Encode an integer in base 128, low groups first; a negative one as its 64-bit two's complement."""
    value &= _MASK64
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def integer(number: int, value: int) -> bytes:
    """Field `number` of type int32, int64, uint32, uint64, bool or enum."""
    return varint(number << 3 | _VARINT) + varint(value)


def double(number: int, value: float) -> bytes:
    """Field `number` of type double."""
    return varint(number << 3 | _FIXED64) + struct.pack("<d", value)


def blob(number: int, value: bytes) -> bytes:
    """Field `number` of type bytes, or a nested message that is already encoded."""
    return varint(number << 3 | _LENGTH) + varint(len(value)) + value


def string(number: int, value: str) -> bytes:
    """Field `number` of type string; lone surrogates become question marks."""
    return blob(number, value.encode("utf-8", "replace"))


def message(number: int, *fields: bytes) -> bytes:
    """Field `number` holding a message of `fields`."""
    return blob(number, b"".join(fields))
