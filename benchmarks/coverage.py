"""Which corners of which instructions the random programs reach that run in gates and in the models.

    python benchmarks/coverage.py [--programs N]

The programs are those of `tests/rtl/test_core.py`. Prints, for each instruction and corner, how many executed
instructions reach it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "rtl"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "simulator"))

from core_bench import small_chip
from core_corners import CORNERS, corners_of_program
from core_programs import random_programs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=1000)
    options = parser.parse_args()
    chip = small_chip()
    reached: Counter[tuple[str, str]] = Counter()
    for code, image in random_programs(chip, 1, options.programs, 30):
        reached += corners_of_program(chip, code, image)
    cells = [(name, corner) for name, corners in CORNERS.items() for corner in corners]
    print(f"{sum(reached[cell] > 0 for cell in cells)} of {len(cells)} corners reached")
    print("| instruction | corners, and how often |")
    print("|---|---|")
    for name, corners in CORNERS.items():
        print(f"| {name} | {', '.join(f'{corner} {reached[name, corner]:,}' for corner in corners)} |")


if __name__ == "__main__":
    main()
