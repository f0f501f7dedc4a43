"""The DRAM standards that hanok knows, by name; FLAT:<MB/s>[:<ns>] is memory of one bandwidth."""

from __future__ import annotations

import re
from functools import cache

from hanok.dram.standard import FlatMemory, Standard
from hanok.dram.standards._check import check_standard
from hanok.dram.standards._family import Family
from hanok.dram.standards._load import load_standard as _load_standard
from hanok.dram.standards.ddr5 import DDR5
from hanok.dram.standards.gddr6 import GDDR6
from hanok.dram.standards.hbm2 import HBM2, HBM2E
from hanok.dram.standards.hbm3 import HBM3, HBM3E, HBM4
from hanok.dram.standards.lpddr5 import LPDDR5, LPDDR5X
from hanok.errors import ChipError

__all__ = [
    "check_standard",
    "densities",
    "families",
    "get_standard",
    "load_standard",
    "standard_by_speed",
    "standards",
]

_FAMILIES: dict[str, Family] = {
    family.name: family for family in (HBM2, HBM2E, HBM3, HBM3E, HBM4, LPDDR5, LPDDR5X, DDR5, GDDR6)
}
_NAME = re.compile(r"([A-Z0-9]{1,16})_([0-9]{1,6})(?:@([0-9]{1,4})Gb)?", re.ASCII)
_FLAT = re.compile(r"FLAT:([1-9][0-9]{0,6})(?::([0-9]{1,6}))?", re.ASCII)


def families() -> tuple[str, ...]:
    """Return the names of the families, such as HBM3, in table order."""
    return tuple(_FAMILIES)


def standards() -> tuple[str, ...]:
    """Return the names of all standards with banks, each at its default density, in table order."""
    return tuple(
        family.standard_name(speed, family.default_density)
        for family in _FAMILIES.values()
        for speed in family.speeds
    )


def densities(name: str) -> tuple[int, ...]:
    """Return the densities in Gbit that the standard `name` comes in. Raises ChipError as `get_standard`."""
    standard = get_standard(name)
    return _FAMILIES[standard.family].densities if isinstance(standard, Standard) else ()


@cache
def _standard(family: str, speed_mbps: int, density_gbit: int) -> Standard:
    return _FAMILIES[family].standard(speed_mbps, density_gbit)


def get_standard(name: str) -> Standard | FlatMemory:
    """Return a standard by name.

    HBM3_6400 has the default density, HBM3_6400@16Gb another one; 'FLAT:<MB/s a channel>[:<latency ns>]' is
    memory without banks. Raises ChipError for any other name, with what is allowed.
    """
    flat = _FLAT.fullmatch(name)
    if flat:
        return FlatMemory(name, int(flat[1]), 1000 * int(flat[2] or 0))
    found = _NAME.fullmatch(name)
    family = _FAMILIES.get(found[1]) if found else None
    if not found or not family or int(found[2]) not in family.speeds:
        raise ChipError(
            f"memory.standard: '{name[:64]}' is unknown; allowed: {', '.join(standards())}, each also as "
            "NAME@<n>Gb, or FLAT:<MB/s a channel>[:<latency in ns>] such as FLAT:470 (1..9999999 MB/s, "
            "0..999999 ns)"
        )
    density = int(found[3] or family.default_density)
    if density not in family.densities:
        allowed = ", ".join(f"{gbit}Gb" for gbit in family.densities)
        raise ChipError(f"memory.standard: '{name[:64]}' has density {density}Gb; allowed: {allowed}")
    return _standard(family.name, int(found[2]), density)


def standard_by_speed(family: str, speed_mbps: int, density_gbit: int | None = None) -> Standard:
    """Return the standard of a family (HBM3), a speed (6400 Mb/s a pin) and a density (None: the default).

    Raises ChipError with the families, speeds or densities that there are.
    """
    found = _FAMILIES.get(family)
    if found is None:
        raise ChipError(f"standard: '{family[:32]}' is unknown; allowed: {', '.join(_FAMILIES)}")
    if speed_mbps not in found.speeds:
        allowed = ", ".join(map(str, found.speeds))
        raise ChipError(f"standard: {family} has no speed {speed_mbps} Mb/s; allowed: {allowed}")
    density = found.default_density if density_gbit is None else density_gbit
    if density not in found.densities:
        allowed = ", ".join(map(str, found.densities))
        raise ChipError(f"standard: {family} has no density {density} Gbit; allowed: {allowed}")
    return _standard(family, speed_mbps, density)


def load_standard(path: str) -> Standard:
    """Read a standard of one's own from a TOML file: a base and what differs from it.

    ```toml
    name = "HBM3_slow"
    base = "HBM3_6400"      # any name that get_standard knows
    source = "measured on our board"
    [timings]               # in cycles of the base, by the names of its `timings`
    nRP = 60
    [organisation]
    rows = 32768
    ```
    Raises ChipError for a file that cannot be read, for unknown names, and for what `check_standard` refuses.
    """
    return _load_standard(path, get_standard)
