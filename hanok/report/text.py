"""Numbers as people read them: three significant digits, SI prefixes, per cent."""

from __future__ import annotations

import re

_ESCAPE_SEQUENCE = r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)"
_CONTROL_CHARACTER = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_CONTROL = re.compile(f"{_ESCAPE_SEQUENCE}|{_CONTROL_CHARACTER}")


def clean(text: str) -> str:
    """Return `text` without terminal escapes, control characters and direction overrides."""
    return _CONTROL.sub("", text.replace("\n", " ").replace("\r", " ").replace("\t", " "))


def significant(value: float, digits: int = 3) -> str:
    """Return `value` with about `digits` significant digits, without an exponent up to a million."""
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:,.0f}"


def count(value: int) -> str:
    """Return a whole number with thousands separated."""
    return f"{value:,}"


def scaled(value: float, unit: str) -> str:
    """Return `value` with an SI prefix: 1.23 G, 45.6 M."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{significant(value / limit)} {prefix}{unit}"
    return f"{significant(value)} {unit}".rstrip()


def milliseconds(value: float) -> str:
    """Return a time given in milliseconds in ns, us, ms or s."""
    if value >= 1000:
        return f"{significant(value / 1000)} s"
    if value >= 1 or value == 0:
        return f"{significant(value)} ms"
    if value >= 1e-3:
        return f"{significant(value * 1e3)} us"
    return f"{significant(value * 1e6)} ns"


def energy(millijoules: float) -> str:
    """Return an energy given in millijoules in nJ, uJ, mJ or J."""
    if millijoules >= 1000:
        return f"{significant(millijoules / 1000)} J"
    if millijoules >= 1 or millijoules == 0:
        return f"{significant(millijoules)} mJ"
    if millijoules >= 1e-3:
        return f"{significant(millijoules * 1e3)} uJ"
    return f"{significant(millijoules * 1e6)} nJ"


def percent(fraction: float) -> str:
    """Return a fraction in per cent: one decimal below ten, and never 0 % or 100 % for what is not."""
    value = 100 * fraction
    if value == 0:
        return "0 %"
    if value < 0.1:
        return "<0.1 %"
    if 99.95 <= value < 100:
        return ">99.9 %"
    return f"{value:.1f} %" if value < 10 or 99 < value < 100 else f"{value:.0f} %"
