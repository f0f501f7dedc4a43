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

from hanok.protect.clones import Background, Comparison, Fingerprint, compare
from hanok.protect.clones import _elaborate as elaborating
from hanok.protect.clones.background import sketch_of
from hanok.protect.clones.fingerprint import features_from
from hanok.protect.clones.sources import Sources

TARGET = Path(__file__).parents[1] / "hanok" / "assets" / "clones" / "background.npz"
LIMIT_S = 70
ATTEMPTS = 5
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
    constants = (elaborating._WORDS, elaborating._GATES, elaborating.SMALL_MEMORY_WORDS)
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
    "gates: AND OR XOR MUX",
    "gates: NAND",
)


def copied(kind: str, design: Design, others: list[Design], seed: int) -> tuple[Sources, list[Design]]:
    """Return a copy and which other designs are in it; some others cannot be joined, then more are tried."""
    for attempt in range(ATTEMPTS):
        try:
            return _copied(kind, design, others, seed + attempt)
        except CopyError:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("one attempt at least")


def kept_copy(
    kind: str, design: Design, others: list[Design], seed: int, cache: Path
) -> tuple[Sources, list[str]]:
    """Return what `copied` does, with the others' names, from what is kept."""
    code = "".join(ast.dump(ast.parse(Path(module.__file__).read_text("utf-8"))) for module in (clone_copies,))
    names = [other.top for other in others]
    key = hashlib.sha256(repr((kind, design.sources, names, seed, code)).encode()).hexdigest()[:24]
    place = cache / f"{key}.copy"
    if not place.exists():
        sources, inside = copied(kind, design, others, seed)
        place.write_bytes(zlib.compress(pickle.dumps((sources, [each.top for each in inside])), 1))
    return pickle.loads(zlib.decompress(place.read_bytes()))


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
        case "30 % in another":
            return partly(source, host.sources, seed), [host]
        case "buried in ten times":
            return buried(source, top, [each.sources for each in system], seed), system
    return resynthesised(source, top, "nand" if "NAND" in kind else "cells", seed), []


def trials(found: list[Design], cache: Path, say: Callable[[str], None]) -> list[Trial]:
    """Return copies of each design against it, and against all other designs."""
    chosen = [design for design in found if design.top in COMPARED]
    ours = {design.top: features(design.sources, cache, True) for design in chosen}
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
            for other in chosen:
                if other.top not in tops:
                    is_same = other.author == design.author
                    made.append(Trial(kind, suspect, ours[other.top], False, is_same, tops))
    return made


def area(copied: list[float], others: list[float]) -> float:
    """Return the probability that a copy scores higher than another design (the area under the ROC curve)."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, copied, "left") + np.searchsorted(ordered, copied, "right")
    return float(np.mean(below) / 2 / len(ordered))


def judged(trial: Trial, background: Background) -> Comparison:
    """Compare as the tool does, but that the background knows neither of the two."""
    families = GATES if trial.kind.startswith("gates") else WORDS
    return compare(trial.suspect, trial.ours, background.without((*trial.inside, trial.ours.name)), families)


def measure(found: list[Design], cache: Path) -> None:
    """Print how copies of each kind score against other designs."""
    background = make_background(found, cache)
    made = trials(found, cache, lambda text: print(text, file=sys.stderr, flush=True))
    results = [(trial, judged(trial, background)) for trial in made]
    (cache / "results.pickle").write_bytes(
        pickle.dumps([(t.kind, t.is_copy, t.is_same_author, t.inside, t.ours.name, c) for t, c in results])
    )
    rows = []
    for level in (WORDS, GATES):
        here = [pair for pair in results if (pair[0].kind.startswith("gates")) == (level is GATES)]
        others = [c.score for t, c in here if not t.is_copy]
        kin = [c.score for t, c in here if not t.is_copy and t.is_same_author]
        must = "0.99" if level is WORDS else "0.95"
        for kind in [*dict.fromkeys(t.kind for t, _ in here), "all"]:
            mine = [c for t, c in here if t.is_copy and kind in (t.kind, "all")]
            scores = [c.score for c in mine]
            caught = sum(c.p_value <= 0.05 for c in mine) / len(mine)
            rows.append(
                (
                    kind,
                    str(len(mine)),
                    f"{np.median(scores):.2f}",
                    f"{min(scores):.2f}",
                    f"{area(scores, others):.4f}",
                    f"{area(scores, kin):.4f}",
                    must if kind == "all" else "",
                    f"{100 * caught:.0f} %",
                )
            )
        for name, is_kin in (("other designs", False), ("of the same author", True)):
            mine = [c for t, c in here if not t.is_copy and t.is_same_author == is_kin]
            scores = [c.score for c in mine]
            caught = sum(c.p_value <= 0.05 for c in mine) / len(mine)
            rows.append(
                (
                    name,
                    str(len(mine)),
                    f"{np.median(scores):.2f}",
                    f"max {max(scores):.2f}",
                    "",
                    "",
                    "",
                    f"{100 * caught:.1f} %",
                )
            )
    print_table(("suspect", "pairs", "score", "least", "AUC", "same author", "required", "p <= 0.05"), rows)


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
