"""A flip-flop's function has one label whatever gates make it, in whatever order its inputs stand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from random import Random

import pytest

from hanok.errors import HanokError
from hanok.protect.clones import _gates
from hanok.protect.clones._gates import _spectrum_label, gate_features
from hanok.protect.clones._netlist import Netlist, is_register, read_netlists

CELL = """{"modules": {"m": {"cells": {"a": {"type": "x", "connections": {"A": %s}}},
"ports": {}, "netnames": {}}}}"""
Cells = dict[str, dict[str, object]]


class Builder:
    """Writes a netlist of AND, NOT and flip-flops, with numbers for nets in the order of their making."""

    def __init__(self) -> None:
        self.cells: Cells = {}
        self.nets = 2

    def net(self) -> int:
        self.nets += 1
        return self.nets

    def cell(self, kind: str, output: str, **inputs: int | str) -> int:
        result = self.net()
        ports = {port: [bit] for port, bit in inputs.items()} | {output: [result]}
        ways = dict.fromkeys(inputs, "input") | {output: "output"}
        self.cells[f"c{len(self.cells)}"] = {"type": kind, "connections": ports, "port_directions": ways}
        return result

    def both(self, left: int, right: int) -> int:
        return self.cell("$_AND_", "Y", A=left, B=right)

    def invert(self, bit: int) -> int:
        return self.cell("$_NOT_", "Y", A=bit)

    def sum_of_products(self, inputs: Sequence[int], function: Callable[..., bool], random: Random) -> int:
        """Return a net that is a function of others, by its rows in any order."""
        rows = [row for row in itertools.product((0, 1), repeat=len(inputs)) if function(*row)]
        random.shuffle(rows)
        no_row = self.both(inputs[0], self.invert(inputs[0]))
        none = self.invert(no_row)
        for row in rows:
            terms = [bit if value else self.invert(bit) for bit, value in zip(inputs, row, strict=True)]
            random.shuffle(terms)
            product = terms[0]
            for term in terms[1:]:
                product = self.both(product, term)
            none = self.both(none, self.invert(product))
        return self.invert(none)

    def netlist(self, inputs: Sequence[int]) -> Netlist:
        ports = {"i": {"direction": "input", "bits": list(inputs)}}
        text = json.dumps({"modules": {"m": {"cells": self.cells, "ports": ports, "netnames": {}}}})
        return read_netlists(text, "test")[0]


def label_of(function: Callable[..., bool], inputs: int, seed: int) -> int:
    """Return the first label of a flip-flop that takes a function of so many inputs."""
    built, random = Builder(), Random(seed)
    bits = [built.net() for _ in range(inputs)]
    order = bits[:]
    random.shuffle(order)
    built.cell("$_DFF_P_", "Q", C=1, D=built.sum_of_products(order, function, random))
    return next(gate_features(built.netlist(bits)))[0]


FUNCTIONS: dict[str, Callable[..., bool]] = {
    "majority": lambda a, b, c: a + b + c > 1,
    "choice": lambda a, b, c: bool(b if a else c),
    "parity": lambda a, b, c: bool(a ^ b ^ c),
    "all": lambda a, b, c: bool(a & b & c),
    "one and": lambda a, b, c: bool(a and (b or c)),
    "exactly one": lambda a, b, c: a + b + c == 1,
}


def test_a_function_is_known_by_other_gates_and_in_another_order() -> None:
    labels = {
        name: {label_of(function, 3, seed) for seed in range(6)} for name, function in FUNCTIONS.items()
    }
    assert all(len(found) == 1 for found in labels.values())
    assert len(set.union(*labels.values())) == len(FUNCTIONS)


def test_inversions_do_not_matter() -> None:
    def plain(a: int, b: int, c: int, d: int) -> bool:
        return bool((a and b) ^ (c or (d and a)))

    def inverted(a: int, b: int, c: int, d: int) -> bool:
        return not plain(a, 1 - b, c, 1 - d)

    assert label_of(plain, 4, 1) == label_of(inverted, 4, 2)


def test_functions_of_three_bits_fall_into_their_known_classes() -> None:
    """There are 14 but for permutation and inversion of inputs and output (Harrison, 1963)."""
    spectra = {_spectrum_label(table, 3, -1) for table in range(256)}
    assert len(spectra) == 14


def test_what_a_register_holds_is_told_from_what_others_do() -> None:
    """The same function where the register's own value takes another part in it."""
    found = set()
    for own in range(3):
        built, random = Builder(), Random(own)
        bits = [built.net(), built.net()]
        state = built.nets + 100
        order = [*bits[:own], state, *bits[own:]]
        taken = built.sum_of_products(order, FUNCTIONS["choice"], random)
        built.cells["state"] = {
            "type": "$_DFF_P_",
            "connections": {"C": [1], "D": [taken], "Q": [state]},
            "port_directions": {"C": "input", "D": "input", "Q": "output"},
        }
        found.add(next(gate_features(built.netlist(bits)))[0])
    assert len(found) == 2, "its own value chooses, or is chosen"


def test_loops_latches_and_wide_functions_do_not_stop_it() -> None:
    built = Builder()
    bits = [built.net() for _ in range(30)]
    wide = bits[0]
    for bit in bits[1:]:
        wide = built.both(wide, bit)
    built.cell("$_DFF_P_", "Q", C=1, D=wide)
    built.cell("$_DLATCH_P_", "Q", E=bits[0], D=bits[1])
    first, second = built.net(), built.net()
    for name, left, right in (("x", first, second), ("y", second, first)):
        built.cells[name] = {
            "type": "$_AND_",
            "connections": {"A": [left], "B": [bits[2]], "Y": [right]},
            "port_directions": {"A": "input", "B": "input", "Y": "output"},
        }
    built.cell("$_DFF_N_", "Q", C=1, D=first)
    assert len(list(gate_features(built.netlist(bits)))) == 3 * 4


def test_a_netlist_whose_dependencies_do_not_fit_has_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_gates, "MAX_SUPPORT_BYTES", 0)
    built = Builder()
    bits = [built.net() for _ in range(30)]
    built.cell("$_DFF_P_", "Q", C=1, D=built.both(bits[0], bits[1]))
    assert not list(gate_features(built.netlist(bits)))


@pytest.mark.parametrize(
    ("kind", "is_state"),
    [
        ("$dff", True),
        ("$sdffce", True),
        ("$_DLATCH_N_", True),
        ("$sr", True),
        ("$shr", False),
        ("$sshr", False),
    ],
)
def test_what_holds_state(kind: str, is_state: bool) -> None:
    assert is_register(kind) == is_state


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"modules": 3}',
        '{"modules": {"m": {"ports": {}, "netnames": {}}}}',
        '{"modules": {"m": {"cells": {"a": 1}, "ports": {}, "netnames": {}}}}',
        CELL % "[true]",
        CELL % "[[1]]",
        "[" * 100_000,
    ],
)
def test_what_is_no_netlist_is_refused(text: str) -> None:
    with pytest.raises(HanokError, match=r"bad\.json: is no netlist that Yosys' write_json wrote"):
        read_netlists(text, "bad.json")
