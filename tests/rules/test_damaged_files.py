"""Damaged and mutated files: every one is accepted or refused in words, none ends in another exception."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from hanok.errors import HanokError
from hanok.rules._record import parse_toml
from hanok.rules.leak_report import leak_report
from hanok.rules.load import builtin_packs, load_pack, make_pack
from hanok.rules.subject import EXPORT_PACKS, assess_export, read_subject
from hanok.rules.system import AI_ACT_PACKS, report_system

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "rules"
PIECES = (
    "[",
    "]",
    '"',
    "'",
    "=",
    "\n",
    "1e400",
    "-1",
    "inf",
    "nan",
    "true",
    "{",
    "}",
    "\x00",
    "가",
    "9" * 5000,
    "a.b",
)


def mutated(text: str, generator: random.Random) -> str:
    """Cut, double, swap or put in pieces at a few places."""
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(text))
        end = min(len(text), place + generator.randint(0, 40))
        piece = generator.choice((*PIECES, text[place:end] * 2))
        text = text[:place] + piece + text[end if generator.random() < 0.6 else place :]
    return text


def subject(path: Path) -> None:
    assess_export(read_subject(str(path)), [load_pack(name) for name in EXPORT_PACKS])


def system(path: Path) -> None:
    report_system(path, [load_pack(name) for name in AI_ACT_PACKS])


@pytest.mark.parametrize(
    ("name", "read"), [("datasheet.toml", subject), ("system.toml", system), ("leak.toml", leak_report)]
)
def test_mutated_files(name: str, read: object, tmp_path: Path) -> None:
    generator = random.Random(name)
    text = (EXAMPLES / name).read_text("utf-8").replace("../../hanok", str(ROOT / "hanok"))
    accepted = 0
    for number in range(150):
        place = tmp_path / f"{number}.toml"
        place.write_text(mutated(text, generator), encoding="utf-8")
        assert callable(read)
        with suppress(HanokError):
            read(place)
            accepted += 1
    assert accepted < 150, "some mutations do harm"


@pytest.mark.parametrize("name", builtin_packs())
def test_mutated_packs(name: str) -> None:
    generator = random.Random(name)
    text = (ROOT / "hanok" / "rules" / "packs" / f"{name}.toml").read_text("utf-8")
    for _ in range(40):
        with suppress(HanokError):
            make_pack(parse_toml(mutated(text, generator), "mutated"), "mutated")
