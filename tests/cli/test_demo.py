"""The demo: the shipped model hears, agrees with ONNX Runtime, and leaves a report behind."""

from pathlib import Path

import pytest
from cli_types import Run

from hanok.flows.demo import load_demonstration


def test_the_demo_hears_what_was_said(
    hanok_command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = hanok_command("demo")
    assert result.exit_code == 0, result.output
    clips = len(load_demonstration().said)
    right = next(
        int(line.split()[0]) for line in result.stdout.splitlines() if f" of {clips} clips heard" in line
    )
    assert right >= 0.9 * clips
    assert "identical" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["hanok-demo.html"]


def test_the_description_fits_the_clips() -> None:
    demonstration = load_demonstration()
    assert demonstration.model.is_file()
    assert len(demonstration.features) == len(demonstration.said) > 0
    assert max(demonstration.said) < len(demonstration.labels)
    assert 0.85 < demonstration.accuracy <= 1
