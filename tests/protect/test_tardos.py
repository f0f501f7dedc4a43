"""The code and the accusation: what is derived, what is exact, what is bounded, who is named."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from collusion_attacks import Floats, by_table, lose, standard_attacks, worst_table

from hanok.protect.accuse import Accusation, accuse
from hanok.protect.tardos import CUT_OFF, Code, FingerprintError

SECRET = bytes(range(32))


def code_of(number: int, marks: int = 1536) -> Code:
    return Code(bytes([number]) * 32, "subject", marks)


NAMES = [f"recipient {row}" for row in range(1000)]


def test_a_word_follows_from_secret_subject_and_name_alone() -> None:
    code = Code(SECRET, "subject", 300)
    assert (code.word("acme") == Code(SECRET, "subject", 300).word("acme")).all()
    others = [Code(SECRET[::-1], "subject", 300), Code(SECRET, "subject 2", 300)]
    for other in others:
        assert (other.word("acme") != code.word("acme")).sum() > 60
        assert np.abs(np.corrcoef(other.biases, code.biases)[0, 1]) < 0.2
    assert (code.words(["a", "acme"])[1] == code.word("acme")).all()
    assert (code.word("caf\u00e9 ") == code.word("cafe\u0301")).all()


def test_words_are_pinned() -> None:
    """A marked copy is traced years later: what is derived must never change."""
    code = Code(SECRET, "subject", 64)
    assert "".join(map(str, code.word("acme"))) == (
        "1010010111100001101010100110000101001000000000001000101000111110"
    )
    expected = [0.974061, 0.029852, 0.991185]
    assert code.biases[:3] == pytest.approx(expected, abs=1e-6)


def test_the_secret_is_not_shown() -> None:
    assert "x00" not in repr(Code(SECRET, "subject", 4))


@pytest.mark.parametrize("name", ["", "  ", "a\x1b[31m", "a\nb", "x" * 201, "a\u202eb"])
def test_names_that_are_no_names(name: str) -> None:
    with pytest.raises(FingerprintError, match=r"recipient .*; allowed: 1 to 200 printable characters"):
        Code(SECRET, "subject", 4).word(name)


def test_biases_are_arcsine_distributed_and_bits_follow_them() -> None:
    code = Code(SECRET, "subject", 40_000)
    biases = np.sort(code.biases)
    assert CUT_OFF * 0.99 < biases[0] < 1.01 * CUT_OFF
    assert abs(biases[-1] - (1 - CUT_OFF)) < 0.01 * CUT_OFF
    edge = math.asin(math.sqrt(CUT_OFF))
    expected = (np.arcsin(np.sqrt(biases)) - edge) / (math.pi / 2 - 2 * edge)
    assert np.abs(expected - np.arange(len(biases)) / len(biases)).max() < 1.63 / 200  # Kolmogorov, 1 %
    words = code.words(NAMES[:20]).astype(float)
    surplus = (words - code.biases).sum() / math.sqrt(20 * (code.biases * (1 - code.biases)).sum())
    assert abs(surplus) < 4


def exact_false_rate(biases: Floats, evidence: Floats, limit: float, known: Floats | None = None) -> float:
    """Chance that an innocent is accused, by adding up every word that it could have."""
    total = 0.0
    for word in itertools.product((0, 1), repeat=len(biases)):
        bits = np.array(word)
        words = np.array([word]) if known is None else np.stack([known, bits])
        chance = float(np.prod(np.where(bits == 1, biases, 1 - biases)))
        total += chance * bool(accuse(biases, words, evidence, limit).steps[-1])
    return total


@pytest.mark.parametrize("seed", range(3))
def test_an_innocent_is_accused_no_more_often_than_said(seed: int) -> None:
    """Exact, with evidence that nobody made, that a word made, and that is soft; and it does accuse."""
    random = np.random.default_rng(seed)
    biases = np.sin(random.uniform(0.1, 1.47, 9)) ** 2
    hard = np.where(random.random(9) < biases, 1.0, -1.0)
    rare = np.where(biases < 0.5, 1.0, -1.0)
    soft = random.uniform(-1, 1, 9)
    rates = [exact_false_rate(biases, evidence, 0.3) for evidence in (hard, rare, soft)]
    assert max(rates) <= 0.3
    assert max(rates) > 0


def test_rounds_after_the_first_keep_the_bound() -> None:
    """Exact: a colluder is named first, then an innocent is judged by what his word says beside it."""
    random = np.random.default_rng(5)
    biases = np.full(8, 0.02)
    guilty = (random.random(8) < 0.8).astype(float)
    evidence = np.where(guilty == 1, 1.0, -1.0)
    evidence[:2] = 1.0
    words = np.stack([guilty, np.zeros(8)])
    assert accuse(biases, words, evidence, 0.2).steps.tolist() == [1, 0]
    assert exact_false_rate(biases, evidence, 0.2, guilty) <= 0.2


def test_a_second_colluder_is_named_by_what_the_first_does_not_explain() -> None:
    code, found = code_of(3), []
    words = code.words(NAMES[:50])
    for seed in range(12):
        random = np.random.default_rng(seed)
        copy = by_table([0, 0.5, 0.5, 0.5, 1])(words[:4], random)
        found.append(accuse(code.biases, words, lose(copy, 0.25, random)))
    assert all(set(each.accused.tolist()) <= {0, 1, 2, 3} for each in found)
    assert any((each.steps > 1).any() for each in found)


def trace(number: int, size: int, name: str, run: int, marks: int = 1536) -> tuple[set[int], set[int]]:
    """Return who colluded and who was accused, of 1000 recipients, a fifth of the marks lost."""
    code = code_of(number, marks)
    random = np.random.default_rng([number, size, run])
    guilty = random.choice(len(NAMES), size, replace=False)
    words = code.words(NAMES)
    copy = standard_attacks(size)[name](words[guilty], random)
    accusation = accuse(code.biases, words, lose(copy, 0.2, random), 1e-6)
    return set(guilty.tolist()), set(accusation.accused.tolist())


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("name", standard_attacks(3))
def test_colluders_are_named_and_nobody_else(size: int, name: str) -> None:
    for run in range(3):
        guilty, named = trace(run, size, name, run)
        assert named
        assert named <= guilty


@pytest.mark.slow
def test_tracing_as_required() -> None:
    """6,000 runs of 1,000 recipients; benchmarks/protect_tracing.py makes 100,000."""
    words = {number: code_of(number).words(NAMES).astype(np.float64) for number in range(4)}
    kinds = [(size, name) for size in (1, 2, 3) for name in standard_attacks(size)]
    attacks = {size: standard_attacks(size) for size in (1, 2, 3)}
    missed = dict.fromkeys(kinds, 0)
    for run in range(200 * len(kinds)):
        size, name = kinds[run % len(kinds)]
        number = run * 4 // (200 * len(kinds))
        random = np.random.default_rng(run)
        guilty = random.choice(len(NAMES), size, replace=False)
        copy = attacks[size][name](words[number][guilty].astype(np.uint8), random)
        evidence = lose(copy, 0.2, random)
        named = set(accuse(code_of(number).biases, words[number], evidence, 1e-6).accused.tolist())
        assert named <= set(guilty.tolist())
        missed[size, name] += not named
    assert max(missed.values()) <= 2, missed


def test_a_copy_of_nobody_names_nobody() -> None:
    code, random = code_of(7), np.random.default_rng(7)
    words = code.words(NAMES[:200])
    for evidence in (
        np.where(random.random(1536) < code.biases, 1.0, -1.0),
        np.where(random.random(1536) < 0.5, 1.0, -1.0),
        random.uniform(-1, 1, 1536),
        np.ones(1536),
        -np.ones(1536),
    ):
        accusation = accuse(code.biases, words, evidence)
        assert not len(accusation.accused)
        assert accusation.bounds.min() > 1e-3


@pytest.mark.parametrize("evidence", [np.full(64, np.nan), np.zeros(64)])
def test_nothing_read_says_nothing(evidence: Floats) -> None:
    code = code_of(1, 64)
    accusation = accuse(code.biases, code.words(NAMES[:5]), evidence)
    assert accusation.marks_read == 0
    assert accusation.bounds.tolist() == [1.0] * 5


def test_no_recipients_and_no_marks() -> None:
    code = code_of(1, 64)
    assert isinstance(accuse(code.biases, code.words([]), np.ones(64)), Accusation)


def test_soft_reads_are_worth_what_they_say() -> None:
    """Marks read wrongly 40 times in 100 name nobody if taken for certain, and the leaker if taken softly."""
    code = code_of(2, 4096)
    words, random = code.words(NAMES[:100]), np.random.default_rng(1)
    level = np.where(random.random(4096) < 0.5, 0.05, 0.9)
    wrong = random.random(4096) < (1 - level) / 2
    shown = np.where((words[5] == 1) ^ wrong, 1.0, -1.0)
    soft, hard = (accuse(code.biases, words, shown * weight).bounds[5] for weight in (level, 0.999))
    assert soft < 1e-9 * hard


def test_the_worst_attack_on_two_and_three_copies() -> None:
    """By symmetry the coin on two copies; on three (0, 0.65, 0.35, 1) of Furon and Perez-Freire (2009)."""
    assert worst_table(2).tolist() == [0, 0.5, 1]
    assert worst_table(3).tolist() == pytest.approx([0, 0.65, 0.35, 1], abs=1 / 16)
