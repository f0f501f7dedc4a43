"""A tool is started for the first time by one process, while another one waits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = """
import os, time
def run_tool(arguments):
    assert arguments == ["--version"]
    with open(os.environ["TOOL_LOG"], "a") as log:
        log.write("begins ")
    time.sleep(1)
    with open(os.environ["TOOL_LOG"], "a") as log:
        log.write("ends ")
    return int(os.environ.get("TOOL_FAILS", "0"))
"""
STARTS = "from hanok.rtl.first_start import prepare; prepare('some_tool', 'run_tool')"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A package with a tool that writes down when it works, and an empty cache."""
    (tmp_path / "some_tool.py").write_text(TOOL)
    about = tmp_path / "some_tool-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some_tool\nVersion: 1.0\n")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "TOOL_LOG": str(tmp_path / "log"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


def starts(environment: dict[str, str], processes: int) -> str:
    """Prepare the tool in some processes at once; return what it wrote."""
    begun = [subprocess.Popen([sys.executable, "-c", STARTS], env=environment) for _ in range(processes)]
    assert {one.wait() for one in begun} == {0}
    return Path(environment["TOOL_LOG"]).read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="nobody waits there")
def test_of_three_processes_one_starts_it(environment: dict[str, str]) -> None:
    assert starts(environment, 3) == "begins ends "
    assert starts(environment, 1) == "begins ends "


@pytest.mark.skipif(sys.platform == "win32", reason="nobody waits there")
def test_a_start_that_fails_is_tried_again_and_never_by_two_at_once(environment: dict[str, str]) -> None:
    assert starts(environment | {"TOOL_FAILS": "1"}, 2) == "begins ends begins ends "


def test_another_place_for_machine_code_is_another_first_start(environment: dict[str, str]) -> None:
    starts(environment, 1)
    assert starts(environment | {"YOWASP_CACHE_DIR": "elsewhere"}, 1) == "begins ends begins ends "


def test_a_cache_that_cannot_be_written_is_no_error(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert starts(environment, 1) == "begins ends "
