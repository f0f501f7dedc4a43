"""All features of a design: of its text, of its netlist of words and of its netlist of gates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hanok.errors import HanokError
from hanok.protect.clones._elaborate import Elaboration, elaborate
from hanok.protect.clones._gates import gate_features
from hanok.protect.clones._lexer import Tokens, read_tokens
from hanok.protect.clones._netlist import Cell, Netlist
from hanok.protect.clones._winnow import winnow
from hanok.protect.clones._words import cell_features, register_features
from hanok.protect.clones._yosys import has_yosys
from hanok.protect.clones.features import Features, Place, features_of
from hanok.protect.clones.sources import SourceError, Sources

FAMILIES = ("text", "cells", "registers", "gates")
"""What is compared: runs of tokens, cells of words, dependencies of registers, functions of flip-flops."""
DEFAULT_LIMIT_S = 300.0
_SOURCE = re.compile(r"(?:.*/)?(\d+)\.s?v:(\d+)")


@dataclass(frozen=True)
class Fingerprint:
    """Features of a design by family; `notes` says what could not be made, and why."""

    name: str
    families: Mapping[str, Features]
    notes: tuple[str, ...] = ()

    @cached_property
    def sorted_hashes(self) -> dict[str, NDArray[np.uint32]]:
        """The different hashes of each family, sorted."""
        return {family: np.unique(features.hashes) for family, features in self.families.items()}


def fingerprint(sources: Sources, has_gates: bool = True, limit_s: float = DEFAULT_LIMIT_S) -> Fingerprint:
    """Return the features of a design; without Yosys, or for what it refuses, those of its text alone.

    Raises SourceError where not even text can be compared.
    """
    try:
        tokens = [] if sources.is_json else [read_tokens(file.text) for file in sources.files]
    except HanokError as error:
        raise SourceError(f"{sources.name}: {error}") from None
    notes: list[str] = []
    elaborated = Elaboration()
    if has_yosys():
        elaborated = elaborate(sources, tokens, has_gates, limit_s)
        notes += elaborated.notes
    elif sources.is_json:
        elaborated = elaborate(sources, tokens, False, limit_s)
    if not has_yosys():
        notes.append("no netlists: they take Yosys; pip install 'hanok[rtl]'")
    elif not elaborated.words:
        notes.append("no netlist could be made; only the text is compared")
    found = features_from(sources, tokens, elaborated)
    if not any(map(len, found.values())):
        raise SourceError(f"{sources.name}: nothing to compare; {'; '.join(notes) or 'too little Verilog'}")
    return Fingerprint(sources.name, found, tuple(notes))


def features_from(sources: Sources, tokens: Sequence[Tokens], elaborated: Elaboration) -> dict[str, Features]:
    """Return the features of a design by family, from what was made of it."""
    return {"text": _text_features(sources, tokens)} | _netlist_features(sources, tokens, elaborated)


def _text_features(sources: Sources, tokens: Sequence[Tokens]) -> Features:
    found = []
    for file, read in zip(sources.files, tokens, strict=False):
        hashes, starts = winnow(read.codes)
        for value, start in zip(hashes.tolist(), starts.tolist(), strict=True):
            offset = int(read.offsets[start])
            found.append((value << 32, Place(file.name, read.line_of(offset), read.module_at(offset))))
    return features_of(found)


def _netlist_features(
    sources: Sources, tokens: Sequence[Tokens], elaborated: Elaboration
) -> dict[str, Features]:
    places = _Places(sources, tokens)
    cells = chain.from_iterable(cell_features(each, places.of(each)) for each in elaborated.words)
    registers = chain.from_iterable(register_features(each, places.of(each)) for each in elaborated.states)
    gates = (
        (value, places.of(netlist)(cell))
        for netlist in elaborated.gates
        for value, cell in gate_features(netlist)
    )
    return {"cells": features_of(cells), "registers": features_of(registers), "gates": features_of(gates)}


class _Places:
    """Finds where a cell comes from: by its source line, or by its path in the hierarchy."""

    def __init__(self, sources: Sources, tokens: Sequence[Tokens]) -> None:
        self._files = sources.files
        self._tokens = tokens

    def of(self, netlist: Netlist) -> Callable[[Cell], Place]:
        def locate(cell: Cell) -> Place:
            register = _register_name(netlist, cell) if cell.is_register else ""
            found = _SOURCE.match(cell.source)
            if found and int(found.group(1)) < len(self._tokens):
                number, line = int(found.group(1)), int(found.group(2))
                module = self._tokens[number].module_of_line(line)
                return Place(self._files[number].name, line, module, register)
            return Place("", 0, netlist.name, register)

        return locate


def _register_name(netlist: Netlist, cell: Cell) -> str:
    for bit in cell.ports.get("Q", ()):
        if isinstance(bit, int) and bit in netlist.names:
            name = netlist.names[bit]
            return name if len(cell.ports["Q"]) == 1 else name.rsplit("[", 1)[0]
    return ""
