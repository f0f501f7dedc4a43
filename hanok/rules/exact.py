"""Numbers of laws and datasheets as exact fractions: reading decimals, and writing them for people."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_DIGITS = 60
MAX_EXPONENT = 60
_DECIMAL = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE]([+-]?[0-9]{1,4}))?", re.ASCII)


def exact(value: Any) -> Fraction:
    """Return an integer, a Decimal or a decimal text as the fraction that it is.

    Raises ValueError for anything else: floats (which have lost what the file says), infinities, numbers of
    more than MAX_DIGITS digits or with exponents beyond MAX_EXPONENT.
    """
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str | Fraction):
        raise ValueError(f"{str(value)[:40]!r} is not a number")
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    text = str(value)
    found = _DECIMAL.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:40]!r} is not a decimal number")
    if len(text) > MAX_DIGITS + 8 or abs(int(found[1] or 0)) > MAX_EXPONENT:
        raise ValueError(
            f"{text[:40]!r} has more than {MAX_DIGITS} digits or an exponent over {MAX_EXPONENT}"
        )
    return Fraction(text)


def readable(value: Fraction, digits: int = 4) -> str:
    """Return a fraction as people read it: whole numbers in full, others with `digits` significant digits.

    What is not zero never reads as zero, and from 10^15 on a power of ten is used.
    """
    if abs(value) >= 10**15:
        mantissa, _, exponent = (
            f"{Decimal(value.numerator) / Decimal(value.denominator):.{digits - 1}e}".partition("e+")
        )
        return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"
    if value.denominator == 1:
        return f"{value.numerator:,}"
    whole = abs(value.numerator) // value.denominator
    places = max(2, digits - len(str(whole))) if whole else digits + _leading_zeros(abs(value))
    rounded = round(value, places)
    text = f"{Decimal(rounded.numerator) / Decimal(rounded.denominator):,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _leading_zeros(value: Fraction) -> int:
    """Zeros behind the point of a fraction below one."""
    count = 0
    while value * 10 ** (count + 1) < 1:
        count += 1
    return count
