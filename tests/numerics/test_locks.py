"""Two processes with one cache: a kernel is compiled once, and each gets the code for its own types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hanok.numerics.locks import alone

KERNEL = '''
"""A kernel that takes a while to compile."""
import sys
from hanok.numerics._kernels_compile import inner, kernel

@inner
def raised(value, power):
    product = value
    for _ in range(power):
        product = product * value + 1
    return product

@kernel
def summed(value, most):
    total = value * 0
    for power in range(most):
        if power % 3 == 0:
            total += raised(value, power)
        elif power % 3 == 1:
            total -= raised(value + power, 2)
    return total

if __name__ == "__main__":
    print("ready", flush=True)
    value = eval(sys.stdin.readline())
    print(summed(value, 5), sum(summed.stats.cache_misses.values()))
'''


def run_both(folder: Path, values: tuple[str, str]) -> list[list[str]]:
    """Call the kernel in two processes at once; return each one's result and how often it compiled."""
    path = folder / "summing.py"
    path.write_text(KERNEL)
    environment = os.environ | {"XDG_CACHE_HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen([sys.executable, path], stdin=pipe, stdout=pipe, text=True, env=environment)
        for _ in values
    ]
    for one in both:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one, value in zip(both, values, strict=True):
        assert one.stdin is not None
        one.stdin.write(value + "\n")
        one.stdin.flush()
    return [one.communicate()[0].split() for one in both]


def test_of_two_processes_one_compiles(tmp_path: Path) -> None:
    found = run_both(tmp_path, ("3", "3"))
    assert [result for result, _ in found] == ["-323", "-323"]
    assert sorted(misses for _, misses in found) == ["0", "1"]


def test_each_gets_the_code_for_its_types(tmp_path: Path) -> None:
    assert run_both(tmp_path, ("3", "3.0")) == [["-323", "1"], ["-323.0", "1"]]
    assert run_both(tmp_path, ("3.0", "3")) == [["-323.0", "0"], ["-323", "0"]]


def test_without_a_folder_nobody_waits(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with alone(tmp_path / "file" / "lock"), alone(tmp_path / "file" / "lock"):
        pass
    with alone(tmp_path / "made" / "lock"):
        assert (tmp_path / "made" / "lock").stat().st_size == 0
