"""The lexer takes any text, in time linear in it; winnowing keeps its promise."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.errors import HanokError
from hanok.protect.clones import _lexer
from hanok.protect.clones._lexer import read_tokens
from hanok.protect.clones._winnow import RUN, WINDOW, winnow


def codes(text: str) -> list[int]:
    return read_tokens(text).codes.tolist()


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=200))
def test_any_text_becomes_tokens_in_order(text: str) -> None:
    read = read_tokens(text)
    assert len(read.codes) == len(read.offsets)
    assert all(np.diff(read.offsets) > 0)
    for offset in read.offsets.tolist():
        assert text[offset] not in " \t\n\r\f\v"
        assert read.line_of(offset) == text.count("\n", 0, offset) + 1


def test_names_numbers_and_comments_do_not_count() -> None:
    plain = codes('assign total = first + 8\'h3F; initial x("a");')
    assert plain == codes('assign a=b/* c\n*/+12\'b1;//d\ninitial (* keep *) \\odd[3] ("b\\"c");')
    assert plain != codes('assign total = first - 8\'h3F; initial x("a");')
    assert codes("always @(*) a <= `B;") == codes("always @( * ) c<=`D ;")
    assert codes("8'h`WIDTH") == codes("8'h3`WIDTH")


def test_modules_are_found_with_their_lines() -> None:
    read = read_tokens(
        "// head\nmodule a;\nendmodule\n`define B 1\nmodule \\b+c ;\n wire x;\nendmodule\nwire y;"
    )
    assert [module.name for module in read.modules] == ["a", "b+c"]
    assert [read.module_of_line(line) for line in (1, 2, 3, 4, 6, 8)] == ["", "a", "a", "", "b+c", ""]
    assert read_tokens("module a; module b; wire").modules[-1].name == "b"


@pytest.mark.parametrize("part", ["(*", "/*", '"\\', "(* ", "`", "'", "8'h ", "\\", "module ", "/", "1 '"])
def test_no_text_is_slow(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lexer, "MAX_TOKENS", 1 << 30)
    begin = time.process_time()
    read_tokens(part * (200_000 // len(part)))
    assert time.process_time() - begin < 2


def test_too_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lexer, "MAX_TOKENS", 100)
    with pytest.raises(HanokError, match=r"more than 100 tokens; give the modules in question"):
        read_tokens("a " * 101)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 90), st.integers(2, 9))
def test_winnowing_is_the_papers(seed: int, length: int, different: int) -> None:
    tokens = np.random.default_rng(seed).integers(0, different, length).astype(np.uint32)
    hashes, starts = winnow(tokens)
    assert len(starts) == len(hashes)
    if length < RUN:
        assert not len(starts)
        return
    gaps = np.diff(starts)
    assert starts[0] < WINDOW
    assert starts[-1] > length - RUN - WINDOW
    assert all(gaps <= WINDOW)
    same = {tuple(tokens[start : start + RUN]): value for value, start in zip(hashes, starts, strict=True)}
    for value, start in zip(hashes, starts, strict=True):
        assert same[tuple(tokens[start : start + RUN])] == value, "equal runs, equal hashes"


def test_a_common_run_leaves_a_trace() -> None:
    generator = np.random.default_rng(4)
    for _ in range(50):
        common = generator.integers(0, 30, RUN + WINDOW - 1)
        texts = [
            np.concatenate((generator.integers(0, 30, before), common, generator.integers(0, 30, after)))
            for before, after in generator.integers(0, 60, (2, 2))
        ]
        first, second = (set(winnow(text.astype(np.uint32))[0].tolist()) for text in texts)
        assert first & second
