"""Operators that CXXRTL does not compute as Yosys' cells mean them, and what stands in their place.

CXXRTL cuts a signed operand to the bits of the result before it shifts it to the right, and looks whether the
cut remainder of a rounded quotient is zero. Here all bits are there until the end.
"""

from __future__ import annotations

import re

_SHIFTS = {"shr_su": "shr", "shift_su": "shift", "shiftx_su": "shift"}
_FROM_BOTH = {"shift_ss": "shift", "shiftx_ss": "shift"}
_ROUNDED = "divfloor_ss", "modfloor_ss"
_PREFIX = "hanok_"
_USED = re.compile(rf"\b(?=(?:{'|'.join((*_SHIFTS, *_FROM_BOTH, *_ROUNDED))})<)")
_OPERATOR = """
template<size_t y, size_t a, size_t b>
static value<y> {name}(const value<a> &left, const value<b> &right) {{
\tconstexpr size_t all = {all};
\treturn cxxrtl_yosys::{inner}<all>(left.template sext<all>(), right).template trunc<y>();
}}
"""


def mend(source: str) -> str:
    """Return CXXRTL's statements with the operators of `MENDED`."""
    return _USED.sub(_PREFIX, source)


def _operators() -> str:
    wide = "y > a ? y : a"
    rows = [
        *((name, f"{inner}_uu", wide) for name, inner in _SHIFTS.items()),
        *((name, f"{inner}_us", wide) for name, inner in _FROM_BOTH.items()),
        *((name, name, "y > (a > b ? a : b) ? y : (a > b ? a : b)") for name in _ROUNDED),
    ]
    return "".join(_OPERATOR.format(name=_PREFIX + name, inner=inner, all=all_) for name, inner, all_ in rows)


MENDED = _operators()
"""C++ that stands before a design whose statements are mended."""
