"""How well copies are told from other designs, as shown in docs/protect/clones.md.

    python benchmarks/protect_clones.py FOLDER background     # makes hanok/assets/clones/background.npz anew
    python benchmarks/protect_clones.py FOLDER                # prints the table

FOLDER holds open designs as `clone_designs.py` says; netlists are kept in FOLDER/netlists.
"""

from __future__ import annotations

import ast
import hashlib
import pickle
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import clone_copies
import numpy as np
from clone_copies import CopyError, buried, partly, renamed, reordered, resynthesised, with_other_numbers
from clone_designs import Design, designs, tokens_of
from table import print_table

from hanok.protect.clones import Background, Fingerprint
from hanok.protect.clones import _elaborate as elaborating
from hanok.protect.clones.background import sketch_of
from hanok.protect.clones.compare import rank, score_alone
from hanok.protect.clones.fingerprint import features_from
from hanok.protect.clones.sources import Sources

TARGET = Path(__file__).parents[1] / "hanok" / "assets" / "clones" / "background.npz"
LIMIT_S = 70
ATTEMPTS = 5
RANKED = 0.1
"""The share of pairs that are no copies whose p-value is taken."""
WORDS = ("text", "cells", "registers")
GATES = ("gates",)
_COMPARED = """
aes_encipher_block siphash uart_core sha1 i2c_slave i2c_master axi_cdma mac_ctrl_rx wbuart axivdisplay wbdmac
axisgfsm div sdram spi_lite irq_ctrl jpeg_dqt ftdi_if spdif_core i2c_master_top spi_top eth_rxethmac eth_miim
serv_top or1k_marocchino_int_div
"""
COMPARED = tuple(_COMPARED.split())
"""The originals that are copied, of nine authors, of whom five wrote several."""


@dataclass(frozen=True)
class Trial:
    """A suspect and ours; whether it is a copy, and how it was made."""

    kind: str
    suspect: Fingerprint
    ours: Fingerprint
    is_copy: bool
    is_same_author: bool
    inside: tuple[str, ...]
    """Designs that are in the suspect, or of which it is made."""


def features(sources: Sources, cache: Path, has_gates: bool) -> Fingerprint:
    """Return the features of a design, from netlists that are kept."""
    tokens = tokens_of(sources)
    constants = (elaborating._FLAT, elaborating._after_flat(0, True))
    key = hashlib.sha256(repr((sources, *constants)).encode()).hexdigest()[:24] + ("" if has_gates else "w")
    place = cache / key
    if not place.exists():
        made = elaborating.elaborate(sources, tokens, has_gates, LIMIT_S)
        place.with_suffix(".part").write_bytes(zlib.compress(pickle.dumps(made), 1))
        place.with_suffix(".part").replace(place)
    made_from = place.with_suffix(f".{_version()}")
    if not made_from.exists():
        elaborated = pickle.loads(zlib.decompress(place.read_bytes()))
        found = Fingerprint(sources.name, features_from(sources, tokens, elaborated), elaborated.notes)
        made_from.write_bytes(zlib.compress(pickle.dumps(found), 1))
    return pickle.loads(zlib.decompress(made_from.read_bytes()))


@lru_cache
def _version() -> str:
    """Return a digest of the code that makes features."""
    names = ("_gates", "_lexer", "_netlist", "_winnow", "_words", "features", "fingerprint")
    room = Path(elaborating.__file__).parent
    trees = [ast.dump(ast.parse((room / f"{name}.py").read_text("utf-8"))) for name in names]
    return hashlib.sha256("".join(trees).encode()).hexdigest()[:12]


def make_background(found: list[Design], cache: Path) -> Background:
    """Return the sketches of all designs that Yosys made netlists of."""
    made = {design.top: features(design.sources, cache, True) for design in found}
    sketches = {top: sketch_of(each) for top, each in made.items() if len(each.families["gates"])}
    return Background(tuple(sketches), tuple(sketches.values()))


KINDS = (
    "renamed",
    "reordered",
    "other numbers",
    "resynthesised",
    "30 % in another",
    "buried in ten times",
    "resynthesised, other states",
    "gates: AND OR XOR MUX",
    "gates: NAND",
)


JOINED = KINDS[4:6]
"""Copies that other designs take part in."""


def copied(kind: str, design: Design, others: list[Design], seed: int) -> tuple[Sources, list[Design]]:
    """Return a copy and which other designs are in it; some others cannot be joined, then more are tried."""
    attempts = ATTEMPTS if kind in JOINED else 1
    for attempt in range(attempts):
        try:
            return _copied(kind, design, others, seed + attempt)
        except CopyError:
            if attempt == attempts - 1:
                raise
    raise AssertionError("one attempt at least")


def kept_copy(
    kind: str, design: Design, others: list[Design], seed: int, cache: Path
) -> tuple[Sources, list[str]]:
    """Return what `copied` does, with the others' names, from what is kept."""
    code = ast.dump(ast.parse(Path(clone_copies.__file__).read_text("utf-8")))
    names = [other.top for other in others]
    key = hashlib.sha256(repr((kind, design.sources, names, seed, code)).encode()).hexdigest()[:24]
    place = cache / f"{key}.copy"
    if not place.exists():
        try:
            sources, inside = copied(kind, design, others, seed)
        except CopyError as error:
            place.write_bytes(zlib.compress(pickle.dumps(str(error))))
        else:
            place.write_bytes(zlib.compress(pickle.dumps((sources, [each.top for each in inside])), 1))
    kept = pickle.loads(zlib.decompress(place.read_bytes()))
    if isinstance(kept, str):
        raise CopyError(kept)
    return kept


def _copied(kind: str, design: Design, others: list[Design], seed: int) -> tuple[Sources, list[Design]]:
    random = Random(seed)
    strangers = [each for each in others if each.author != design.author]
    host = random.choice(strangers)
    size = sum(len(file.text) for file in design.sources.files)
    random.shuffle(strangers)
    system: list[Design] = []
    while strangers and sum(len(f.text) for each in system for f in each.sources.files) < 9 * size:
        system.append(strangers.pop())
    source, top = design.sources, design.top
    match kind:
        case "renamed":
            return renamed(source, seed), []
        case "reordered":
            return reordered(source, seed), []
        case "other numbers":
            return with_other_numbers(source, seed), []
        case "resynthesised":
            return resynthesised(source, top, "words", seed), []
        case "resynthesised, other states":
            return resynthesised(source, top, "words with other states", seed), []
        case "30 % in another":
            return partly(source, host.sources, seed), [host]
        case "buried in ten times":
            return buried(source, top, [each.sources for each in system], seed), system
    return resynthesised(source, top, "nand" if "NAND" in kind else "cells", seed), []


def trials(found: list[Design], cache: Path, say: Callable[[str], None]) -> list[Trial]:
    """Return copies of each design against it, and against all other designs."""
    chosen = [design for design in found if design.top in COMPARED]
    ours = {design.top: features(design.sources, cache, True) for design in chosen}
    owners = {design.top: design.author for design in found}
    made: list[Trial] = []
    for seed, design in enumerate(chosen):
        for kind in KINDS:
            begin = time.monotonic()
            try:
                sources, inside = kept_copy(kind, design, found, 100 * seed, cache)
            except CopyError as error:
                say(f"{design.top}: no copy '{kind}': {str(error)[:120]}")
                continue
            suspect = features(sources, cache, kind.startswith("gates"))
            tops = (design.top, *inside)
            say(f"{design.top}: {kind}, {time.monotonic() - begin:.1f} s {' '.join(suspect.notes)[:100]}")
            made.append(Trial(kind, suspect, ours[design.top], True, True, tops))
            kin = {owners[top] for top in tops}
            for other in chosen:
                if other.top not in tops:
                    made.append(Trial(kind, suspect, ours[other.top], False, other.author in kin, tops))
    return made


def area(copied: list[float], others: list[float]) -> float:
    """Return the probability that a copy scores higher than another design (the area under the ROC curve)."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, copied, "left") + np.searchsorted(ordered, copied, "right")
    return float(np.mean(below) / 2 / len(ordered))


@dataclass(frozen=True)
class Result:
    """A trial's score, and its p-value where that was wanted."""

    trial: Trial
    score: float
    p_value: float | None


def judged(trial: Trial, background: Background, is_ranked: bool) -> Result:
    """Compare as the tool does, but that the background knows neither of the two."""
    families = GATES if trial.kind.startswith("gates") else WORDS
    known = background.without((*trial.inside, trial.ours.name))
    if not is_ranked:
        return Result(trial, score_alone(trial.suspect, trial.ours, known, families), None)
    ranking = rank(trial.suspect, trial.ours, known, families)
    return Result(trial, ranking.score, ranking.p_value)


def row(name: str, mine: list[Result], others: list[Result], must: str = "") -> tuple[str, ...]:
    """Return a line of the table."""
    kin = [each.score for each in others if each.trial.is_same_author]
    scores = [each.score for each in mine]
    ranked = [each.p_value for each in mine if each.p_value is not None]
    low = sum(value <= 0.05 for value in ranked) / len(ranked)
    shown = f"{np.median(scores):.2f}", f"{min(scores):.2f} .. {max(scores):.2f}"
    areas = ("", "")
    if mine[0].trial.is_copy:
        strangers = [each.score for each in others]
        areas = f"{area(scores, strangers):.4f}", f"{area(scores, kin):.4f}"
    return (name, str(len(mine)), *shown, *areas, must, f"{100 * low:.1f} % of {len(ranked)}")


def measure(found: list[Design], cache: Path) -> None:
    """Print how copies of each kind score against other designs."""
    background = make_background(found, cache)
    made = trials(found, cache, lambda text: print(text, file=sys.stderr, flush=True))
    random = Random(1)
    results = [judged(each, background, each.is_copy or random.random() < RANKED) for each in made]
    rows = []
    for level, must in (("words", "0.99"), ("gates", "0.95")):
        here = [each for each in results if each.trial.kind.startswith("gates") == (level == "gates")]
        copied_ones = [each for each in here if each.trial.is_copy]
        others = [each for each in here if not each.trial.is_copy]
        for kind in dict.fromkeys(each.trial.kind for each in here):
            rows.append(row(kind, [each for each in copied_ones if each.trial.kind == kind], others))
        rows.append(row(f"all copies, {level}", copied_ones, others, must))
        for name, is_kin in (("not copied", False), ("not copied, same author", True)):
            rows.append(row(name, [each for each in others if each.trial.is_same_author == is_kin], others))
    print_table(("suspect", "pairs", "median", "score", "AUC", "same author", "required", "p <= 0.05"), rows)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    kept = folder / "netlists"
    kept.mkdir(exist_ok=True)
    if "background" in sys.argv[2:]:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_bytes(make_background(designs(folder), kept).to_bytes())
        print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
    else:
        measure(designs(folder), kept)
