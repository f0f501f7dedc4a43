"""The commands on good input, and the Python interface."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from cli_types import Run

import hanok
from hanok.machine import preset_names


def test_run_writes_every_report(hanok_command: Run, model_file: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    np.savez(tmp_path / "samples.npz", image=np.concatenate([image, image * 0.5]))
    result = hanok_command(
        "run", model_file, "--chip", "nano", "--input", f"image={tmp_path / 'image.npy'}",
        "--calibrate", tmp_path / "samples.npz", "--html", tmp_path / "r.html", "--json", tmp_path / "r.json",
        "--trace", tmp_path / "r.pftrace", "--save-outputs", tmp_path / "o.npz",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["model"] == "small"
    assert content["outputs_compared"] == 512
    assert content["max_error_steps"] <= 1
    assert content["warnings"] == []
    assert content["quantisation"]["calibration"] == "2 samples"
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "r.pftrace").stat().st_size > 1000
    assert np.load(tmp_path / "o.npz")["features"].shape == (1, 8, 8, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "image.npy", "o.npz", "r.html", "r.json", "r.pftrace", "samples.npz"
    ]  # fmt: skip
    assert "bounds this model" in result.stdout.strip().replace("\n", " ")


def test_a_program_runs_as_its_model_does(
    hanok_command: Run, model_file: Path, program_file: Path, tmp_path: Path
) -> None:
    for name, source in (("model", model_file), ("program", program_file)):
        chip = ("--chip", "nano")
        result = hanok_command("run", source, *chip, "--json", tmp_path / name)
        assert result.exit_code == 0, result.output
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("model", "program"))
    for key in ("cycles", "layers", "units", "outputs", "dram_read_bytes", "warnings"):
        assert first[key] == second[key]


def test_compile_gives_the_same_bytes(
    hanok_command: Run, model_file: Path, program_file: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.hanok"
    assert hanok_command("compile", model_file, "--chip", "nano", "-o", again).exit_code == 0
    assert again.read_bytes() == program_file.read_bytes()


def test_inspect(hanok_command: Run, program_file: Path) -> None:
    text = hanok_command("inspect", program_file, "--limit", 0).stdout
    assert "program   small" in text
    assert "input     image: float32 1 x 3 x 8 x 8, in DRAM at 0x" in text
    assert re.search(r"^# stage 0, layer 0: .*convolution", text, re.MULTILINE)
    assert re.search(r"^ +\d+  [0-9a-f]{8}  load    load ", text, re.MULTILINE)
    assert re.search(r"^ +\d+  [0-9a-f]{8}  matrix  conv ", text, re.MULTILINE)
    assert "constant" in text
    few = hanok_command("inspect", program_file, "--limit", 3).stdout
    assert len(re.findall(r"^ +\d+  [0-9a-f]{8}  ", few, re.MULTILINE)) == 3
    assert "--limit 0 shows all" in few
    one = hanok_command("inspect", program_file, "--layer", 0, "--limit", 0).stdout
    assert "program   " not in one
    assert one.count("# stage") >= 1


def test_chips(hanok_command: Run) -> None:
    text = hanok_command("chips").stdout
    for name in preset_names():
        assert name in text
    toml = hanok_command("chips", "edge").stdout
    assert 'name = "edge"' in toml
    assert "[sources]" in toml


def test_help_is_quick_to_import() -> None:
    code = (
        "import sys; import hanok.cli.app; hanok.cli.app.build_app(); "
        "print([name for name in ('numpy', 'numba', 'onnx', 'onnxruntime', 'pydantic', 'jinja2', 'plotly') "
        "if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"


def test_python_m_hanok_is_the_command() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "hanok", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    for command in ("demo", "run", "compile", "inspect", "chips"):
        assert f"  {command} " in result.stdout


def test_the_python_interface(model_file: Path, tmp_path: Path) -> None:
    chip = hanok.Chip.load("nano")
    samples = {"image": np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)}
    model = hanok.compile(model_file, chip, calibration=samples)
    result = model.run({"image": samples["image"][:1]})
    assert result.outputs["features"].shape == (1, 8, 8, 8)
    assert result.cycles == result.record.cycles > 0
    assert result.energy == result.record.energy_mj
    assert len(result.timeline) == result.record.instructions
    for name in ("r.html", "r.json", "r.pftrace"):
        assert result.report(tmp_path / name).stat().st_size > 100
    saved = hanok.load(model.save(tmp_path / "m.hanok"))
    again = saved.run({"image": samples["image"][:1]})
    np.testing.assert_array_equal(again.outputs["features"], result.outputs["features"])
    assert "layers" in model.inspect(limit=2)


def test_a_lone_array_calibrates_the_only_input(hanok_command: Run, model_file: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "samples.npy", np.random.default_rng(2).normal(size=(3, 3, 8, 8)).astype(np.float32))
    target = tmp_path / "m.hanok"
    result = hanok_command("compile", model_file, "--calibrate", tmp_path / "samples.npy", "-o", target)
    assert result.exit_code == 0, result.output
    assert "calibration: 3 samples" in hanok_command("inspect", target).stdout
