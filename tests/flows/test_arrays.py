"""Array files: round trips, and damaged or hostile ones refused."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hanok.flows.arrays import InputError, npy_bytes, npz_bytes, read_arrays


def test_round_trips(tmp_path: Path) -> None:
    one = np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3))
    np.save(tmp_path / "one.npy", one)
    np.savez_compressed(tmp_path / "two.npz", a=one, b=np.float32(3.5))
    np.testing.assert_array_equal(read_arrays(tmp_path / "one.npy")[""], one)
    arrays = read_arrays(tmp_path / "two.npz")
    assert list(arrays) == ["a", "b"]
    np.testing.assert_array_equal(arrays["a"], one)
    assert arrays["b"].shape == ()
    (tmp_path / "three.npz").write_bytes(npz_bytes({"a/b": one}))
    np.testing.assert_array_equal(np.load(tmp_path / "three.npz")["a/b"], one)
    assert npz_bytes({"a": one}) == npz_bytes({"a": one})


def test_big_endian_is_brought_to_native(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.5], ">f4"))
    array = read_arrays(tmp_path / "x.npy")[""]
    assert array.dtype.isnative
    assert array.tolist() == [1.5]


def _header(text: str) -> bytes:
    content = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a .npy nor a .npz"),
        (b"hello", "neither a .npy nor a .npz"),
        (b"\x93NUMPY", "damaged .npy header"),
        (_header("not a dict"), "damaged .npy header"),
        (_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}"), "its header says"),
        (_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4)}"), "its header says"),
        (_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}") + b"x" * 8, "holds object"),
        (_header("{'descr': '<f4', 'fortran_order': False, 'shape': (40,)}"), "cut short|its header says"),
        (b"PK\x03\x04 nothing", "damaged .npz"),
        (npz_bytes({"a": np.arange(1000)})[:900], "damaged .npz"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.npy"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_arrays(file)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_arrays(tmp_path / "none.npy")
    with pytest.raises(InputError, match="not a file"):
        read_arrays(tmp_path)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", npy_bytes(np.zeros(1 << 20, np.int8)))
    content = bytearray(stream.getvalue())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    (tmp_path / "b.npz").write_bytes(bytes(content))
    with pytest.raises(InputError):
        read_arrays(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes(npz_bytes({f"a{n}": np.zeros(1) for n in range(5000)}))
    with pytest.raises(InputError, match="5000 members"):
        read_arrays(tmp_path / "c.npz")
