"""Every example runs and prints what is recorded beside it.

To record anew: python examples/NAME.py > examples/NAME.txt, with the reason in the commit message.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_prints_what_is_recorded(script):
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=EXAMPLES)
    assert run.returncode == 0, run.stderr
    assert run.stdout == script.with_suffix(".txt").read_text("utf-8")
