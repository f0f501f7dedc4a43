"""A small float model, its program, and the command line in this process."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_types import Run
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from hanok.cli.app import build_app


@pytest.fixture(scope="session")
def hanok_command() -> Run:
    runner, app = CliRunner(), build_app()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def model_file(folder: Path) -> Path:
    generator = np.random.default_rng(3)
    weight = generator.normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w"], ["sums"], "convolution", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["sums"], ["features"], "relu"),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, (1, 8, 8, 8))],
        [numpy_helper.from_array(weight, "w")],
    )
    path = folder / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture(scope="session")
def program_file(folder: Path, model_file: Path, hanok_command: Run) -> Path:
    path = folder / "small.hanok"
    result = hanok_command("compile", model_file, "--chip", "nano", "-o", path)
    assert result.exit_code == 0, result.output
    return path
