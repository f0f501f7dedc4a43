"""Spans that a translation copies come through whole, and a text falls into pieces that are the text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.flows.apps._translate_spans import (
    fill,
    has_words,
    pieces_of,
    plain_signs,
    protect_source,
    protect_target,
    several_arguments,
)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ('could not open file "%s": %m', ("%s", "%m")),
        ("%2$s of %1$lu, %-10.3f, %.*s and 100%%", ("%2$s", "%1$lu", "%-10.3f", "%.*s", "100", "%%")),
        ("Delete {0} from ${folder}?", ("{0}", "${folder}")),
        ("use --file=NAME or -f", ("--file", "-f")),
        ("a read-only, well-known name", ()),
        ("see https://example.org/a?b=1.", ("https://example.org/a?b=1",)),
        ("write to someone@example.org", ("someone@example.org",)),
        ("in /usr/share/doc and max_connections", ("/usr/share/doc", "max_connections")),
        ("at 10:30, 1,000 times", ("10:30", "1,000")),
        ("the <b>bold</b> one", ("<b>", "</b>")),
        ("a café in 서울", ("café", "서울")),
        ("key " + "x" * 40, ("x" * 40,)),
        ("%(name)s is %@", ("%(name)s", "%@")),
    ],
)
def test_spans_of_a_source(text: str, spans: tuple[str, ...]) -> None:
    protected = protect_source(text)
    assert protected.spans == spans
    assert fill(protected.text, range(len(spans)), spans) == text


def test_a_known_translation_has_the_placeholders_of_its_source() -> None:
    spans = protect_source("cannot copy %s to %s").spans
    assert protect_target("%s 파일을 %s(으)로 복사할 수 없음", spans) == "⟦0⟧ 파일을 ⟦1⟧(으)로 복사할 수 없음"
    assert protect_target("%2$s에 %1$s 복사 실패", spans) == "⟦1⟧에 ⟦0⟧ 복사 실패"


@pytest.mark.parametrize("text", ["%s 복사 실패", "%s %s %s", "%s %d", "%3$s %1$s"])
def test_a_translation_with_other_spans_is_refused(text: str) -> None:
    assert protect_target(text, ("%s", "%s")) is None


def test_conversions_get_numbers_where_their_order_changes() -> None:
    spans = ("%s", "10", "%-5d", "%m")
    assert several_arguments(spans)
    assert fill("⟦0⟧ ⟦1⟧ ⟦2⟧ ⟦3⟧", [0, 1, 2, 3], spans) == "%s 10 %-5d %m"
    assert fill("⟦3⟧ ⟦1⟧ ⟦2⟧ ⟦0⟧", [3, 1, 2, 0], spans) == "%m 10 %2$-5d %1$s"


def test_a_placeholder_inside_a_span_is_not_filled_again() -> None:
    assert fill("⟦0⟧ ⟦1⟧", [0, 1], ("⟦1⟧", "x")) == "⟦1⟧ x"


def test_typographic_signs_and_control_characters_become_plain() -> None:
    assert plain_signs("“It’s”\u00a0here…\x00\x1b\ttab\n") == '"It\'s" here...  \ttab\n'


def test_words() -> None:
    assert has_words("OK")
    assert not has_words("⟦0⟧ / 1 a")


def test_lines_and_sentences_are_pieces() -> None:
    text = "  Save it? Then go on.\r\n\n\tSee e.g. this. \n"
    pieces = pieces_of(text, lambda _: True)
    assert pieces == [
        ("", "  "),
        ("Save it?", " "),
        ("Then go on.", "\r\n\n\t"),
        ("See e.g. this.", " \n"),
    ]


def test_what_does_not_fit_is_cut_behind_a_comma_or_in_the_middle() -> None:
    def fits(piece: str) -> bool:
        return len(piece) <= 20

    assert pieces_of("one two three, four five six seven", fits) == [
        ("one two three,", " "),
        ("four five six seven", ""),
    ]
    assert pieces_of("a" * 30, fits) == [("a" * 30, "")]


@given(
    st.text(st.sampled_from("aB.?!, \n\r\t%s10é가⟦"), max_size=80),
    st.integers(1, 30),
)
def test_pieces_joined_are_the_text(text: str, most: int) -> None:
    pieces = pieces_of(text, lambda piece: len(piece) <= most)
    assert "".join(piece + space for piece, space in pieces) == text
    assert all(piece == piece.strip() for piece, _ in pieces)


@pytest.mark.parametrize(
    "unit",
    ["a", " ", "a ", "1a", "%d", "/a", "-a", "_a", "a@", "<a", "1,", "é", "a. ", "{", "http://", ".", "a\n"],
)
def test_hostile_texts_take_little_time(unit: str) -> None:
    text = "x" + unit * (20_000 // len(unit)) + "x"
    begin = time.process_time()
    pieces = pieces_of(text, lambda piece: len(protect_source(piece).text) <= 100)
    assert "".join(piece + space for piece, space in pieces) == text
    assert time.process_time() - begin < 10


@given(st.text(max_size=80))
def test_spans_fill_up_to_the_source(text: str) -> None:
    protected = protect_source(text)
    if len(protected.spans) <= 10:
        assert fill(protected.text, range(len(protected.spans)), protected.spans) == text
