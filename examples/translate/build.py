"""From catalogues to the shipped files: `python examples/translate/build.py SOURCES WORK OUT`."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run the three steps one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path, help="a folder as README.md describes it")
    parser.add_argument("work", type=Path, help="pairs, vocabulary and the trained network")
    parser.add_argument("out", type=Path, help="the shipped files")
    parser.add_argument("--minutes", default="50", help="of training")
    arguments = parser.parse_args()
    sources, work, out = map(str, (arguments.sources, arguments.work, arguments.out))
    steps = (
        ["make_data.py", sources, work],
        ["train.py", work, "--minutes", arguments.minutes],
        ["make_model.py", work, out],
    )
    for script, *rest in steps:
        subprocess.run([sys.executable, str(Path(__file__).parent / script), *rest], check=True)


if __name__ == "__main__":
    main()
