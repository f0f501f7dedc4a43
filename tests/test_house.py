"""The rules of the house: ruff, mypy --strict, the import contract, and the shape of modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "hanok").rglob("*.py"))
TABLES = ("hanok/isa/table.py",)
"""Modules that are mostly a table, which may be longer than the rest."""
MOST_LINES = 400
BANNED = {"utils", "util", "common", "misc", "base", "manager", "helper", "helpers", "v2", "old"}


def name_of(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "ruff", "check", "--quiet", "--output-format", "concise", "."],
        ["-m", "mypy"],
        ["-c", "from importlinter.cli import lint_imports_command as run; run(['--no-cache'])"],
    ],
    ids=["ruff", "mypy", "imports"],
)
def test_the_linter_is_content(command):
    """mypy and the contracts take their settings, `strict` among them, from pyproject.toml."""
    found = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_is_short_and_says_what_it_holds(module):
    text = module.read_text("utf-8")
    first = text.split("\n", 1)[0]
    assert first.startswith('"""'), "the first line is a docstring"
    assert ast.get_docstring(ast.parse(text)), "the module has a docstring"
    assert name_of(module) in TABLES or text.count("\n") <= MOST_LINES
    assert not BANNED & set(module.relative_to(ROOT).with_suffix("").parts), "a name that says nothing"


def test_every_module_of_the_tests_says_what_it_holds():
    silent = [
        module.relative_to(ROOT).as_posix()
        for folder in ("tests", "examples", "benchmarks")
        for module in sorted((ROOT / folder).rglob("*.py"))
        if not ast.get_docstring(ast.parse(module.read_text("utf-8")))
    ]
    assert silent == []


def test_no_two_modules_of_the_tests_have_one_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(set(names)) == sorted(names), "pytest finds a module by its name alone"
