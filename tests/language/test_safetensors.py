"""Weight files: what is read, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from language_folders import write_folder, write_raw, write_safetensors

from hanok.errors import ModelError
from hanok.graph.language.safetensors import MAX_HEADER_BYTES, open_weights


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_types_are_read_as_the_values_that_they_stand_for(tmp_path: Path, dtype: str) -> None:
    random = np.random.default_rng(3)
    tensors = {"a": random.standard_normal((5, 7)), "empty": np.zeros((0, 4)), "scalar": np.array(2.5)}
    values = write_safetensors(tmp_path / "model.safetensors", tensors, dtype)
    weights = open_weights(tmp_path)
    for name, value in values.items():
        np.testing.assert_array_equal(weights.read(name), value)
        assert weights.read(name).dtype == np.float32
    np.testing.assert_array_equal(weights.rows("a", [4, 0, 4]), values["a"][[4, 0, 4]])
    assert weights.shape("a") == (5, 7)
    assert "a" in weights
    assert "b" not in weights


def test_int8_rows_are_multiplied_by_their_scales(tmp_path: Path) -> None:
    stored = np.random.default_rng(4).integers(-128, 128, (6, 3)).astype(np.int8)
    scale = np.linspace(0.1, 2, 6).astype(np.float32)[:, None]
    write_safetensors(tmp_path / "w.safetensors", {"a": stored, "a_scale": scale})
    weights = open_weights(tmp_path)
    np.testing.assert_array_equal(weights.read("a"), stored.astype(np.float32) * scale)
    np.testing.assert_array_equal(weights.rows("a", [5]), stored[[5]].astype(np.float32) * scale[[5]])


def test_int8_without_or_with_wrong_scales_is_refused(tmp_path: Path) -> None:
    stored = np.zeros((6, 3), np.int8)
    write_safetensors(tmp_path / "w.safetensors", {"a": stored})
    with pytest.raises(ModelError, match="'a' is int8, but there is no 'a_scale'"):
        open_weights(tmp_path).read("a")
    write_safetensors(tmp_path / "w.safetensors", {"a": stored, "a_scale": np.ones(5)})
    with pytest.raises(ModelError, match=re.escape("'a_scale' has shape [5]; allowed: [6] or [6, 1]")):
        open_weights(tmp_path).read("a")


def _record(shape: list[Any], begin: int, end: int, dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


_BAD_FILES: dict[str, tuple[dict[str, Any] | bytes, bytes, str]] = {
    "overlap": ({"a": _record([4], 0, 16), "b": _record([4], 8, 24)}, bytes(24), "'b' overlaps"),
    "hole": ({"a": _record([2], 0, 8), "b": _record([2], 12, 20)}, bytes(20), "'b' leaves a hole"),
    "outside": ({"a": _record([100], 0, 400)}, bytes(16), r"'a': bytes 0\.\.400 are outside the 16"),
    "huge": ({"a": _record([2**61], 0, 2**63)}, bytes(16), "are outside the 16"),
    "product": ({"a": _record([2**31, 2**31, 4], 0, 16)}, bytes(16), "16 bytes do not hold F32"),
    "backwards": ({"a": _record([0], 8, 4)}, bytes(8), r"bytes 8\.\.4 are outside"),
    "behind": ({"a": _record([2], 0, 8)}, bytes(9), "1 bytes behind the last tensor"),
    "negative": ({"a": _record([-2], 0, 8)}, bytes(8), "lists of whole numbers from 0"),
    "fraction": ({"a": _record([2.0], 0, 8)}, bytes(8), "lists of whole numbers from 0"),
    "boolean": ({"a": _record([True, 2], 0, 8)}, bytes(8), "lists of whole numbers from 0"),
    "axes": ({"a": _record([1] * 9, 0, 4)}, bytes(4), "9 axes; allowed: at most 8"),
    "type": ({"a": _record([2], 0, 8, "F33")}, bytes(8), "type F33 is not known"),
    "type list": ({"a": _record([2], 0, 8, ["F32"])}, bytes(8), "is not known"),
    "no record": ({"a": 3}, bytes(8), "an object of dtype, shape and data_offsets"),
    "twice": (b'{"a":{},"a":{}}', b"", "name 'a' stands there twice"),
    "no object": (b"[1, 2]", b"", "not a JSON object"),
    "no JSON": (b"{" * 100_000, b"", "not JSON in UTF-8"),
    "no UTF-8": (b'{"\xff": 1}', b"", "not JSON in UTF-8"),
    "digits": (b'{"a": ' + b"9" * 5000 + b"}", b"", "not JSON in UTF-8"),
}


@pytest.mark.parametrize("name", _BAD_FILES)
def test_a_wrong_header_is_one_clear_error(tmp_path: Path, name: str) -> None:
    header, data, message = _BAD_FILES[name]
    write_raw(tmp_path / "model.safetensors", header, data)
    with pytest.raises(ModelError, match=message) as found:
        open_weights(tmp_path)
    assert "model.safetensors" in str(found.value)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 400


def test_truncated_files_and_long_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_safetensors(path, {"a": np.ones((4, 4))})
    whole = path.read_bytes()
    for length in (0, 3, 8, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="truncated"):
            open_weights(tmp_path)
    path.write_bytes((1 << 62).to_bytes(8, "little") + bytes(100))
    with pytest.raises(ModelError, match="truncated"):
        open_weights(tmp_path)
    with path.open("wb") as file:
        file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(MAX_HEADER_BYTES + 100)
    with pytest.raises(ModelError, match=f"header of {MAX_HEADER_BYTES + 1} bytes; allowed"):
        open_weights(tmp_path)


def test_a_type_that_is_no_weight_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"a": np.ones(3)}, "F64")
    with pytest.raises(ModelError, match="elements of type F64; allowed for weights: F32, F16, BF16, I8"):
        open_weights(tmp_path).read("a")


def test_shards_are_one_model(tmp_path: Path) -> None:
    _, values = write_folder(tmp_path, "llama", shards=3)
    weights = open_weights(tmp_path)
    for name, value in values.items():
        np.testing.assert_array_equal(weights.read(name), value)
    with pytest.raises(ModelError, match="no file has tensor 'x'"):
        weights.read("x")


def test_wrong_shards_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, "llama", shards=2)
    index = tmp_path / "model.safetensors.index.json"
    content = json.loads(index.read_text("utf-8"))
    first, second = (tmp_path / f"model-0000{n}-of-00002.safetensors" for n in (1, 2))

    def refused(message: str) -> None:
        with pytest.raises(ModelError, match=message):
            open_weights(tmp_path)

    def write(places: Any) -> None:
        index.write_text(json.dumps({"weight_map": places}), "utf-8")

    places = content["weight_map"]
    write({**places, "ghost": first.name})
    refused("'ghost' is missing, which model.safetensors.index.json puts there")
    write({**places, "x": "../other.safetensors"})
    refused(r"shard '\.\./other\.safetensors' is no \.safetensors file of this folder")
    for wrong in (["a"], {}, {"a": 1}):
        write(wrong)
        refused("no 'weight_map'")
    write(places)
    second.unlink()
    refused("shard model-00002-of-00002.safetensors is missing")
    second.write_bytes(first.read_bytes())
    refused("is missing, which")


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    names = ("a.safetensors", "b.safetensors")
    for index, name in enumerate(names):
        write_safetensors(tmp_path / name, {"shared": np.ones(2), f"own.{index}": np.ones(2)})
    places = {"shared": names[0], "own.0": names[0], "own.1": names[1]}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}), "utf-8")
    with pytest.raises(ModelError, match=r"'shared' is also in a\.safetensors"):
        open_weights(tmp_path)


def test_a_folder_without_an_index_has_one_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"0 \.safetensors files and no"):
        open_weights(tmp_path)
    for name in ("a.safetensors", "b.safetensors"):
        write_safetensors(tmp_path / name, {"x": np.ones(2)})
    with pytest.raises(ModelError, match=r"2 \.safetensors files and no"):
        open_weights(tmp_path)
