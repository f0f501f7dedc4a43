"""Bad input ends in one clear line on stderr and exit code 2, never in a traceback or a part of a file."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_types import Run

import hanok.cli.run
from hanok.errors import HanokError


def _refused(result: Any, *words: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert "Traceback" not in result.output
    message = result.stderr
    assert message.startswith("error: ") or message.startswith("Usage: ")
    for word in words:
        assert word in message
    assert "\x1b" not in message


def test_models_that_are_none(hanok_command: Run, model_file: Path, tmp_path: Path) -> None:
    content = model_file.read_bytes()
    files = {
        "empty.onnx": b"",
        "text.onnx": b"this is not a model\n" * 100,
        "cut.onnx": content[: len(content) // 2],
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        _refused(hanok_command("run", tmp_path / name), name)
    _refused(hanok_command("run", tmp_path / "missing.onnx"), "missing.onnx")
    _refused(hanok_command("run", tmp_path), str(tmp_path))
    _refused(hanok_command("compile", tmp_path / "missing.onnx", "-o", tmp_path / "x.hanok"), "missing.onnx")
    assert not (tmp_path / "x.hanok").exists()


def test_chips_that_are_none(hanok_command: Run, model_file: Path, tmp_path: Path) -> None:
    _refused(hanok_command("run", model_file, "--chip", "fridge"), "'fridge'", "edge")
    (tmp_path / "bad.toml").write_text("name = [[[")
    _refused(hanok_command("run", model_file, "--chip", tmp_path / "bad.toml"), "not a TOML file")
    _refused(hanok_command("chips", "fridge"), "'fridge'")


def test_inputs_that_do_not_fit(hanok_command: Run, program_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.zeros((1, 3, 4, 4), np.float32))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    good = tmp_path / "good.npy"
    np.save(good, np.zeros((1, 3, 8, 8), np.float32))
    run = ("run", program_file, "--input")
    _refused(hanok_command(*run, f"image={tmp_path / 'none.npy'}"), "no such file")
    _refused(hanok_command(*run, f"picture={good}"), "no input 'picture'", "'image'")
    _refused(hanok_command(*run, f"image={tmp_path / 'small.npy'}"), "[1, 3, 4, 4]", "[1, 3, 8, 8]")
    _refused(hanok_command(*run, f"image={tmp_path / 'two.npz'}"), "no array 'image'", "a, b")
    _refused(hanok_command(*run, str(program_file)), "neither a .npy nor a .npz")
    _refused(hanok_command(*run, f"image={good}", "--input", good), "given twice")
    assert hanok_command(*run, good, "--no-check").exit_code == 0


def test_outputs_that_cannot_be_written(hanok_command: Run, program_file: Path, tmp_path: Path) -> None:
    _refused(hanok_command("run", program_file, "--html", tmp_path), "is a folder")
    _refused(hanok_command("run", program_file, "--json", tmp_path / "no" / "x.json"), "does not exist")
    _refused(hanok_command("compile", program_file, "-o", tmp_path / "no" / "x.hanok"), "does not exist")


def test_damaged_programs(hanok_command: Run, program_file: Path, tmp_path: Path) -> None:
    content = program_file.read_bytes()
    damaged = tmp_path / "damaged.hanok"
    generator = np.random.default_rng(0)
    for position in [*range(0, 64, 7), *generator.integers(64, len(content), 12).tolist()]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(generator.integers(8))
        damaged.write_bytes(bytes(flipped))
        _refused(hanok_command("run", damaged), "damaged.hanok")
    damaged.write_bytes(content[:-1])
    _refused(hanok_command("inspect", damaged), "damaged.hanok")
    _refused(hanok_command("inspect", tmp_path / "none.hanok"), "none.hanok")


def test_options_that_contradict_a_program(hanok_command: Run, program_file: Path, tmp_path: Path) -> None:
    _refused(hanok_command("run", program_file, "--chip", "edge"), "compiled for chip 'nano'")
    np.savez(tmp_path / "samples.npz", image=np.zeros((1, 3, 8, 8), np.float32))
    _refused(
        hanok_command("run", program_file, "--calibrate", tmp_path / "samples.npz"), "is compiled already"
    )
    _refused(hanok_command("run", program_file, "--weight-bits", "4"), "--weight-bits has nothing to do")
    _refused(hanok_command("inspect", program_file, "--layer", "ghost"), "no layer 'ghost'")
    _refused(hanok_command("inspect", program_file, "--layer", "99"), "no layer '99'")


def test_unknown_options_and_commands(hanok_command: Run, program_file: Path) -> None:
    assert hanok_command("run", program_file, "--fast").exit_code == 2
    assert hanok_command("run", program_file, "--weight-bits", "5").exit_code == 2
    assert hanok_command("fly").exit_code == 2
    assert hanok_command("run", program_file, "--seed", "-1").exit_code == 2


def _raising(error: BaseException) -> Callable[..., None]:
    def program(*_arguments: object, **_options: object) -> None:
        raise error

    return program


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            RuntimeError("kernel\x1b[31m broke"),
            70,
            ("internal error: RuntimeError: kernel broke", "HANOK_TRACEBACK"),
        ),
        (MemoryError(), 2, ("more memory than there is",)),
        (KeyboardInterrupt(), 130, ("interrupted",)),
        (HanokError("bad\x1b]0;x\x07name\nsecond line"), 2, ("error: badname", "second line")),
    ],
)
def test_every_failure_has_its_code(
    hanok_command: Run,
    program_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    words: tuple[str, ...],
) -> None:
    monkeypatch.setattr(hanok.cli.run, "program_of", _raising(error))
    monkeypatch.delenv("HANOK_TRACEBACK", raising=False)
    result = hanok_command("run", program_file)
    assert result.exit_code == code
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_fault(program_file: Path) -> None:
    script = f"{sys.executable} -m hanok inspect {program_file} --limit 0 | head -1"
    result = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.startswith("program")
    assert result.stderr == ""
