"""Who a fingerprint names: colluders found and innocents accused, attack by attack.

`python benchmarks/protect_tracing.py [runs]`: 100,000 runs of 1,000 recipients take about 20 minutes on one
core. A run draws colluders, an attack and lost marks anew; every 2,000 runs draw a new secret. The second
table says how many marks name one of so many recipients, the third what more colluders take.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "protect"))
from collusion_attacks import lose, standard_attacks
from table import print_table

from hanok.protect.accuse import accuse
from hanok.protect.tardos import Code

RECIPIENTS, MARKS, LOST, LIMIT = 1000, 1536, 0.2, 1e-6
RUNS_OF_A_CODE = 2000
SIZES = (1, 2, 3)


def drawn_code(number: int, marks: int, recipients: int) -> tuple[np.ndarray, np.ndarray]:
    code = Code(hashlib.blake2b(f"secret {number}".encode(), digest_size=32).digest(), "bench", marks)
    return code.biases, code.words([f"recipient {row}" for row in range(recipients)]).astype(np.float64)


def collude(runs: int, marks: int, lost: float, sizes: tuple[int, ...]) -> tuple[list[list[str]], int, int]:
    """Rows of a table, runs, and runs with a false accusation."""
    kinds = [(size, name) for size in sizes for name in standard_attacks(size)]
    done: Counter[tuple[int, str]] = Counter()
    hits: Counter[tuple[int, str]] = Counter()
    share: Counter[tuple[int, str]] = Counter()
    false: Counter[tuple[int, str]] = Counter()
    attacks = {size: standard_attacks(size) for size in sizes}
    for run in range(runs):
        if run % RUNS_OF_A_CODE == 0:
            biases, words = drawn_code(run // RUNS_OF_A_CODE, marks, RECIPIENTS)
        random = np.random.default_rng([run, marks])
        kind = kinds[run % len(kinds)]
        guilty = random.choice(RECIPIENTS, kind[0], replace=False)
        copy = attacks[kind[0]][kind[1]](words[guilty].astype(np.uint8), random)
        named = set(accuse(biases, words, lose(copy, lost, random), LIMIT).accused.tolist())
        found = named & set(guilty.tolist())
        done[kind] += 1
        hits[kind] += bool(found)
        share[kind] += len(found)
        false[kind] += bool(named - found)
    rows = [
        [
            f"{size} colluders, {name}" if size > 1 else f"1 recipient, {name}",
            f"{done[size, name]:,}",
            f"{hits[size, name] / max(done[size, name], 1):.2%}",
            f"{share[size, name] / max(done[size, name], 1) / size:.1%}",
            str(false[size, name]),
        ]
        for size, name in kinds
    ]
    return rows, runs, false.total()


def unrelated(runs: int) -> int:
    """Runs in which somebody is accused of a copy that nobody's word went into."""
    biases, words = drawn_code(99, MARKS, RECIPIENTS)
    wrong = 0
    for run in range(runs):
        random = np.random.default_rng([run, 7])
        kinds = (np.where(random.random(MARKS) < biases, 1.0, -1.0), random.uniform(-1, 1, MARKS))
        wrong += len(accuse(biases, words, lose(kinds[run % 2], LOST, random), LIMIT).accused) > 0
    return wrong


def marks_needed(recipients: int, flipped: float, runs: int = 200) -> int:
    """Least marks, to 5 %, of which 99 % of copies name their one leaker."""
    marks = 32
    while True:
        hits = 0
        for run in range(runs):
            if run % 20 == 0:
                biases, words = drawn_code(run, marks, recipients)
            random = np.random.default_rng([run, marks, recipients])
            guilty = int(random.integers(recipients))
            shown = np.where((words[guilty] == 1) ^ (random.random(marks) < flipped), 1.0, -1.0)
            hits += accuse(biases, words, shown * (1 - 2 * flipped), LIMIT).accused.tolist() == [guilty]
        if hits >= 0.99 * runs:
            return marks
        marks = int(np.ceil(marks * 1.05))


HEADINGS = ("copy", "runs", "at least one named", "of all named", "runs with a false accusation")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    start = time.process_time()
    rows, done, false = collude(runs, MARKS, LOST, SIZES)
    print(
        f"{RECIPIENTS} recipients, bound {LIMIT:g}, {MARKS} marks, {LOST:.0%} lost (required: 99 %, 0 false)"
    )
    print_table(HEADINGS, rows)
    seconds = (time.process_time() - start) / done
    print(f"{done:,} runs, {1e3 * seconds:.1f} ms each: {false} with a false accusation (required: 0)")
    print(f"2,000 copies made of nobody's word: {unrelated(2000)} accusations (required: 0)\n")
    print_table(
        ("one leaker among", "marks needed", "with 10 % of them misread"),
        [
            [f"{number:,}", str(marks_needed(number, 0)), str(marks_needed(number, 0.1))]
            for number in (10, 100, 1000)
        ],
    )
    print("\nmore colluders than required, 4,096 marks, none lost")
    print_table(HEADINGS, collude(320, 4096, 0.0, (5, 7))[0])


if __name__ == "__main__":
    main()
