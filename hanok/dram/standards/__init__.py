"""The DRAM standards that hanok knows, by name; FLAT:<MB/s>[:<ns>] is memory of one bandwidth."""

from __future__ import annotations

import re

from hanok.dram.standard import FlatMemory, Standard
from hanok.dram.standards import hbm2, hbm3, lpddr5
from hanok.errors import ChipError

_TABLE: dict[str, Standard] = {
    standard.name: standard for standard in (*hbm2.STANDARDS, *hbm3.STANDARDS, *lpddr5.STANDARDS)
}
_FLAT = re.compile(r"FLAT:([1-9][0-9]{0,6})(?::([0-9]{1,6}))?", re.ASCII)


def standards() -> tuple[str, ...]:
    """Return the names of all standards with banks, in table order."""
    return tuple(_TABLE)


def get_standard(name: str) -> Standard | FlatMemory:
    """Return the standard `name`, or a flat memory for 'FLAT:<MB/s a channel>[:<latency ns>]'."""
    if name in _TABLE:
        return _TABLE[name]
    flat = _FLAT.fullmatch(name)
    if flat:
        return FlatMemory(name, int(flat[1]), 1000 * int(flat[2] or 0))
    raise ChipError(
        f"memory.standard: '{name[:64]}' is unknown; allowed: {', '.join(_TABLE)}, or "
        "FLAT:<MB/s a channel>[:<latency in ns>] such as FLAT:470 (1..9999999 MB/s, 0..999999 ns)"
    )
