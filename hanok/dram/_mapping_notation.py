"""Notations of address mappings: words, bit strings, Ramulator's names, DRAMsim3's pairs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from hanok.errors import ChipError

FIELDS = ("channel", "pseudo", "rank", "group", "bank", "row", "column")
LETTERS = {"H": "channel", "P": "pseudo", "K": "rank", "G": "group", "B": "bank", "R": "row", "C": "column"}
"""Of the bit-string notation."""
PRESETS = ("RoBaRaCoCh", "ChRaBaRoCo", "MOP4CLXOR")
"""Ramulator's mappings, by its names."""

_DRAMSIM_FIELDS = {
    "ch": "channel pseudo", "ra": "rank", "bg": "group", "ba": "bank", "ro": "row", "co": "column"
}  # fmt: skip
_DRAMSIM = re.compile(r"(?:ch|ra|bg|ba|ro|co){6}")
_TOKEN = re.compile(r"([a-z]+)((?:\^[a-z]+(?:\+[0-9]{1,2})?)*)(?::([0-9]{1,2}))?", re.ASCII)
_TERM = re.compile(r"([A-Z])([0-9]{1,2})((?:\^[A-Z][0-9]{1,2})+)", re.ASCII)


@dataclass(frozen=True, order=True)
class Hash:
    """Bit `field_bit` of `field` is XORed with the address bit that is bit `source_bit` of `source`."""

    field: str
    field_bit: int
    source: str
    source_bit: int


def parse_notation(text: str, widths: dict[str, int]) -> tuple[str, list[Hash]]:
    """Return the letters, highest bit first, and the hashes of a mapping of fields of `widths` bits."""
    if text in PRESETS:
        return _parse_words(_preset(text, widths), widths)
    if _DRAMSIM.fullmatch(text):
        return _parse_words(_dramsim_words(text), widths)
    if text.lstrip(" _")[:1].isupper():
        return _parse_bits(text, widths)
    return _parse_words(text, widths)


def _parse_words(text: str, widths: dict[str, int]) -> tuple[str, list[Hash]]:
    """Return the letters, highest first, and the hashes; tokens are read from the right."""
    names = {field: letter for letter, field in LETTERS.items()}
    left = dict(widths)
    whole: set[str] = set()
    letters: list[str] = []
    hashes: list[Hash] = []
    for token in reversed(text.split()):
        field, sources, bits = _parse_token(token, left)
        if field in whole:
            raise ChipError(f"'{token[:20]}' names {field} again; all its {widths[field]} bits have a place")
        if ":" not in token:
            whole.add(field)
        first = widths[field] - left[field]
        for source, offset in sources:
            if offset and offset >= widths[source]:
                raise ChipError(f"'{token[:20]}': {source} has {widths[source]} bits, so no bit {offset}")
            count = min(bits, widths[source] - offset)
            hashes += [Hash(field, first + bit, source, offset + bit) for bit in range(count)]
        letters.append(names[field] * bits)
        left[field] -= bits
    missing = [field for field in FIELDS if left[field]]
    if missing:
        raise ChipError(f"bits of {', '.join(missing)} are not named; name every field once")
    return "".join(reversed(letters)), hashes


def _parse_token(token: str, left: dict[str, int]) -> tuple[str, list[tuple[str, int]], int]:
    """Return the field of a word, its hash sources with their first bits, and its number of bits."""
    match = _TOKEN.fullmatch(token)
    parts = [part.partition("+") for part in match[2].split("^")[1:]] if match else []
    if not match or any(field not in left for field in (match[1], *(part[0] for part in parts))):
        raise ChipError(
            f"'{token[:20]}' is not one of {', '.join(FIELDS)} with optional ^field, ^field+bit and :bits"
        )
    field = match[1]
    bits = int(match[3]) if match[3] else left[field]
    if bits > left[field]:
        raise ChipError(f"{token[:40]} asks for {bits} bits; {left[field]} are left of {field}")
    return field, [(source, int(offset or 0)) for source, _, offset in parts], bits


def _parse_bits(text: str, widths: dict[str, int]) -> tuple[str, list[Hash]]:
    """Return the letters, highest first, and the hashes of a bit string."""
    tokens = text.replace("_", "").split()
    letters = "".join(token for token in tokens if "^" not in token)
    known = ", ".join(f"{letter} {field}" for letter, field in LETTERS.items())
    for letter in letters:
        if letter not in LETTERS:
            raise ChipError(f"'{letter}' is not one of the letters {known}; hashes are written B0^R2")
    counts = Counter(letters)
    wrong = [
        f"{letter} ({field}) stands there {counts[letter]} times, not {widths[field]}"
        for letter, field in LETTERS.items()
        if counts[letter] != widths[field]
    ]
    if wrong:
        total = sum(widths.values())
        raise ChipError(f"{len(letters)} bits where the memory has {total}: {'; '.join(wrong)}")
    hashes: list[Hash] = []
    for token in tokens:
        if "^" in token:
            hashes += _parse_term(token, widths)
    return letters, hashes


def _parse_term(token: str, widths: dict[str, int]) -> list[Hash]:
    """Return the hashes of a term such as 'B0^R2^C1'."""
    if not _TERM.fullmatch(token):
        raise ChipError(f"'{token[:20]}' is not a hash such as B0^R2 (bank bit 0 XOR row bit 2)")
    places = []
    for part in token.split("^"):
        field, bit = LETTERS.get(part[0], ""), int(part[1:])
        if bit >= widths.get(field, 0):
            has = f"{field} has {widths[field]} bits" if field else "there is no such letter"
            raise ChipError(f"'{token[:20]}': {has}, so there is no {part}")
        places.append((field, bit))
    return [Hash(*places[0], *place) for place in places[1:]]


def _preset(name: str, widths: dict[str, int]) -> str:
    """Return one of Ramulator 2.1's mappings in words: what its `apply` functions do, channel lowest.

    ChRaBaRoCo has the channel on top, as its name says; Ramulator 2.1 leaves channels to another mapper.
    """
    if name == "RoBaRaCoCh":
        return "row bank group rank pseudo column channel"
    if name == "ChRaBaRoCo":
        return "channel pseudo rank group bank row column"
    tokens, offset = {}, 0
    for field in ("pseudo", "rank", "group", "bank", "row"):
        tokens[field] = f"{field}^column+{offset}" if offset < widths["column"] else field
        offset += widths[field]
    order = " ".join(tokens[field] for field in ("bank", "group", "rank", "pseudo"))
    return f"{tokens['row']} column {order} column:{min(2, widths['column'])} channel"


def _dramsim_words(text: str) -> str:
    pairs = [text[start : start + 2] for start in range(0, len(text), 2)]
    if len(set(pairs)) < len(pairs):
        twice = next(pair for pair in pairs if pairs.count(pair) > 1)
        raise ChipError(f"'{twice}' stands there twice; name each of {', '.join(_DRAMSIM_FIELDS)} once")
    return " ".join(_DRAMSIM_FIELDS[pair] for pair in pairs)
