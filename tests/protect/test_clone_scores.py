"""Scores against a plain count; the p-value holds as long as designs can be exchanged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hanok.errors import HanokError
from hanok.protect.clones import Background, Fingerprint, compare
from hanok.protect.clones._score import MIN_PART_FEATURES, PART, PRIOR_FEATURES, Bag, contained
from hanok.protect.clones.background import (
    SKETCH_HASHES,
    different,
    load_background,
    read_background,
    sketch_of,
)
from hanok.protect.clones.features import Features, Place
from hanok.protect.clones.fingerprint import FAMILIES


def made(name: str, hashes: list[int], families: tuple[str, ...] = FAMILIES) -> Fingerprint:
    places = tuple(Place("a.v", line, f"m{line // 40}", f"r{line}") for line in range(len(hashes)))
    values = Features(np.array(hashes, np.uint32), places)
    none = Features(np.zeros(0, np.uint32), ())
    return Fingerprint(name, {family: values if family in families else none for family in FAMILIES})


def drawn(generator: np.random.Generator, name: str) -> Fingerprint:
    """A design: habits that all share, and what is its own; of any size."""
    common = generator.integers(0, 300, generator.integers(5, 120))
    own = generator.integers(1000, 2**32, generator.integers(5, 400), dtype=np.int64)
    hashes = np.concatenate((common, own))
    return made(name, generator.permutation(hashes).tolist(), ("text",))


def background_of(designs: list[Fingerprint]) -> Background:
    return Background(tuple(each.name for each in designs), tuple(sketch_of(each) for each in designs))


def test_p_values_of_unrelated_designs_are_not_too_small() -> None:
    """Of 120 unrelated pairs, with 19 unrelated designs, one in twenty or fewer has p <= 1/20."""
    generator = np.random.default_rng(11)
    trials, found = 120, []
    for _ in range(trials):
        designs = [drawn(generator, f"d{number}") for number in range(21)]
        comparison = compare(designs[0], designs[1], background_of(designs[2:]))
        assert comparison.unrelated == 19
        assert comparison.p_value >= comparison.resolution == 1 / 20
        assert comparison.p_value == max(comparison.p_value_ours, comparison.p_value_suspect)
        found.append((comparison.p_value, comparison.p_value_ours, comparison.p_value_suspect))
    for level in (0.05, 0.1, 0.25, 0.5):
        margin = 3.3 * math.sqrt(trials * level * (1 - level))
        for which in range(3):
            assert sum(values[which] <= level + 1e-9 for values in found) <= trials * level + margin
    assert sum(values[1] <= 0.5 for values in found) > trials * 0.3, "and it is not merely always one"


def test_a_copy_has_the_least_p_value() -> None:
    generator = np.random.default_rng(12)
    designs = [drawn(generator, f"d{number}") for number in range(21)]
    ours = designs[0]
    system = [*ours.families["text"].hashes.tolist(), *generator.integers(0, 2**32, 4000).tolist()]
    part = ours.families["text"].hashes.tolist()
    part = part[: len(part) // 3] + generator.integers(1000, 2**32, 200).tolist()
    for suspect in (system, part):
        found = compare(made("suspect", suspect), ours, background_of(designs[1:]))
        assert found.p_value == found.resolution == 1 / 21
        assert found.families[0].part > 0.6


def test_weights_count_members_but_not_the_one_that_is_scored() -> None:
    designs = [made(f"d{number}", [7, 100 + number]) for number in range(9)]
    ours = sketch_of(made("ours", [7, 100, 500]))
    bag = Bag(background_of(designs), ours)
    weights = bag.weights("text", np.array([7, 100, 500], np.uint32), np.ones(3, np.bool_))
    assert weights.tolist() == pytest.approx([math.log(11 / 10), math.log(11 / 2), math.log(11)])


def test_containment_is_as_counted_one_by_one() -> None:
    generator = np.random.default_rng(13)
    for count in (0, 1, 5, MIN_PART_FEATURES, 40, 200):
        weights = generator.random(count) + 0.01
        is_found = generator.random(count) < 0.4
        whole, part = contained(np.arange(count, dtype=np.uint32), weights, is_found)
        if not count:
            assert (whole, part) == (0, 0)
            continue
        prior = PRIOR_FEATURES * max(weights)
        assert whole == pytest.approx(sum(weights[is_found]) / (sum(weights) + prior))
        best = []
        for start in range(count):
            end = start
            while end < count and (
                end - start < MIN_PART_FEATURES or sum(weights[start:end]) < PART * sum(weights) * (1 - 1e-9)
            ):
                end += 1
            is_long = sum(weights[start:end]) >= PART * sum(weights) * (1 - 1e-8)
            if end - start >= MIN_PART_FEATURES and is_long:
                inside = sum(weights[start:end] * is_found[start:end])
                best.append(inside / (sum(weights[start:end]) + prior))
        assert part == pytest.approx(max(best, default=whole))


def test_a_sketch_is_bounded_and_kept_to_the_bit() -> None:
    generator = np.random.default_rng(14)
    small = made("small", [5, 3, 5, 9])
    large = made("large", generator.integers(0, 2**32, 9000).tolist(), ("text", "gates"))
    assert different(small.families["text"]).tolist() == [5, 3, 9]
    background = background_of([small, large])
    for family in FAMILIES:
        assert len(background.sketches[1].hashes[family]) <= SKETCH_HASHES
    assert all(
        value % background.sketches[1].steps["text"] == 0 for value in background.sketches[1].hashes["text"]
    )
    again = read_background(background.to_bytes())
    assert again.names == ("small", "large")
    for one, other in zip(background.sketches, again.sketches, strict=True):
        assert one.steps == other.steps
        assert all(np.array_equal(one.hashes[family], other.hashes[family]) for family in FAMILIES)
    assert background.without(["small"]).names == ("large",)


def test_a_damaged_background_is_refused() -> None:
    for content in (b"", b"PK\x03\x04", background_of([made("a", [1])]).to_bytes()[:-30]):
        with pytest.raises(HanokError, match=r"background of unrelated designs: .*; install hanok again"):
            read_background(content)


def test_the_shipped_background_has_the_designs_that_a_level_of_one_in_a_hundred_takes() -> None:
    background = load_background()
    assert len(background) >= 99
    assert len(set(background.names)) == len(background)
    for sketch in background.sketches:
        assert all(len(sketch.hashes[family]) for family in ("text", "cells"))
