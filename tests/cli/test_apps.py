"""`hanok app`: every job from the shipped weights, and what is said of bad input."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_types import Run
from PIL import Image

import hanok.cli.apps


def _refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.startswith(("error: ", "Usage: "))
    for word in words:
        assert word in result.stderr


def test_a_day_of_all_jobs_leaves_nothing(hanok_command: Run, tmp_path: Path) -> None:
    page, data = tmp_path / "day.html", tmp_path / "day.json"
    result = hanok_command("app", "all", "--power-cap", "0.5", "--html", page, "--json", data)
    assert result.exit_code == 0, result.output
    assert "Left the device: nothing." in result.stdout
    day = json.loads(data.read_text("utf-8"))
    assert [job["name"].split(":")[0] for job in day["jobs"]] == ["photo"] * 3 + [
        "voice",
        "translate",
        "write",
    ]
    assert day["left_the_device"] == []
    for job in day["jobs"]:
        assert job["milliseconds"] > 0
        assert job["energy_mj"] > 0
        assert job["out"]
        assert job["sustained"]["watts"] <= 0.5 * 1.000001
        for program in job["programs"]:
            record = program["record"]
            assert record["checked"]
            assert not record["host_operators"]
    before, after = (float(part.split()[-2]) for part in day["jobs"][0]["out"].split("->"))
    assert after > before + 5
    text = page.read_text("utf-8")
    assert text.count("data:image/png;base64,") == 6
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


def test_a_photo_becomes_a_picture_and_a_page(hanok_command: Run, tmp_path: Path) -> None:
    source, out, page, data = (tmp_path / name for name in ("in.png", "out.png", "page.html", "photo.json"))
    Image.fromarray(np.full((40, 52, 3), 90, np.uint8)).save(source)
    result = hanok_command(
        "app", "photo", source, "-o", out, "--job", "upscale", "--html", page, "--json", data, "--no-check"
    )
    assert result.exit_code == 0, result.output
    with Image.open(out) as picture:
        assert picture.size == (104, 80)
    assert "not compared" in page.read_text("utf-8")
    assert "이 그림은 인공지능으로 편집하였습니다. This picture was edited by AI." in page.read_text("utf-8")
    assert json.loads(data.read_text("utf-8"))["out"] == "104 x 80"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photo", "missing.png", "-o", "out.png"), ("missing.png", "no such file")),
        (("photo", __file__, "-o", "out.png"), ("test_apps.py",)),
        (("photo", __file__, "-o", "nowhere/out.png"), ("nowhere",)),
        (("photo", __file__, "-o", "out.gif"), ("ends in .gif; allowed: .png",)),
        (("photo", __file__, "-o", "out.jpg", "--job", "cutout"), ("JPEG has no transparency",)),
        (("photo", __file__, "-o", "out.png", "--job", "paint"), ("paint",)),
        (("voice", "missing.wav"), ("missing.wav",)),
        (("voice", __file__), ("test_apps.py",)),
        (("translate", ""), ("text",)),
        (("translate", "Save", "--model", "nowhere"), ("nowhere",)),
        (("write", "가", "--model", "nowhere"), ("nowhere",)),
        (("write", "가", "--tokens", "0"), ("--tokens",)),
        (("all", "--power-cap", "-1"), ("power cap: -1.0 W",)),
        (("all", "--chip", "none"), ("none",)),
    ],
)
def test_bad_input_is_one_line(
    hanok_command: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    _refused(hanok_command("app", *arguments), *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["translate", "write"])
@pytest.mark.parametrize(
    ("text", "word"), [(b"\xff\xfe", "not UTF-8 at byte 0"), (b"a" * 3000, "more than 2000")]
)
def test_standard_input_that_is_no_text(
    command: str, text: bytes, word: str, monkeypatch: pytest.MonkeyPatch, hanok_command: Run
) -> None:
    monkeypatch.setattr(hanok.cli.apps, "_MAX_TEXT_BYTES", 2000)
    from typer.testing import CliRunner

    from hanok.cli.app import build_app

    _refused(CliRunner().invoke(build_app(), ["app", command], input=text), word)


def test_without_pillow_the_command_says_what_to_install() -> None:
    code = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'PIL' else find(name, *rest)\n"
        "from hanok.cli import main; sys.argv = ['hanok', 'app', 'photo', 'a.png', '-o', 'b.png']; main()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "error: pictures need Pillow; install it with: pip install 'hanok[apps]'\n"
