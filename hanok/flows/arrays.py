"""Arrays from .npy and .npz files, checked before they are believed: no pickles, no sizes beyond the file."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from hanok.errors import HanokError

Array = npt.NDArray[Any]

MAX_ARRAY_BYTES = 2 << 30
MAX_MEMBERS = 4096
_NPY_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK"


class InputError(HanokError):
    """An input or calibration file that cannot be used."""


def read_arrays(path: str | Path) -> dict[str, Array]:
    """Return the arrays of an .npz file by name, or of an .npy file under the name ''."""
    file = Path(path)
    if not file.exists():
        raise InputError(f"{file}: no such file; give a .npy or .npz file")
    if not file.is_file():
        raise InputError(f"{file}: is not a file; give a .npy or .npz file")
    try:
        with file.open("rb") as stream:
            start = stream.read(len(_NPY_MAGIC))
            stream.seek(0)
            if start == _NPY_MAGIC:
                return {"": _read_npy(stream, file.stat().st_size, str(file))}
        if start.startswith(_ZIP_MAGIC):
            return _read_npz(file)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from None
    raise InputError(f"{file}: is neither a .npy nor a .npz file; save it with numpy.save or numpy.savez")


def _read_npz(file: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise InputError(f"{file}: {len(members)} members; allowed: at most {MAX_MEMBERS}")
            total = sum(member.file_size for member in members)
            if total > MAX_ARRAY_BYTES:
                raise InputError(f"{file}: {total} bytes unpacked; allowed: at most {MAX_ARRAY_BYTES}")
            arrays = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as stream:
                    arrays[name] = _read_npy(stream, member.file_size, f"{file}:{name}")
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{file}: is a damaged .npz file: {error}") from None


def _read_npy(stream: IO[bytes], available: int, origin: str) -> Array:
    """Read one array; the header's size is held against what is there before anything is allocated."""
    try:
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read_header(stream)
    except (ValueError, EOFError, SyntaxError, TypeError) as error:
        raise InputError(f"{origin}: has a damaged .npy header: {_first_line(error)}") from None
    if dtype.hasobject or dtype.names is not None or dtype.kind not in "biuf":
        raise InputError(f"{origin}: holds {dtype}; allowed: numbers (bool, integers, floats)")
    count = 1
    for length in shape:
        count *= int(length)
    size = count * dtype.itemsize
    if min(shape, default=0) < 0 or size > available or size > MAX_ARRAY_BYTES:
        raise InputError(
            f"{origin}: its header says {list(shape)} of {dtype}, {size} bytes; {available} are there"
        )
    content = stream.read(size)
    if len(content) != size:
        raise InputError(f"{origin}: is cut short: {len(content)} of {size} bytes")
    flat = np.frombuffer(content, dtype)
    shaped = flat.reshape(shape, order="F" if fortran else "C")
    return shaped.astype(dtype.newbyteorder("="), order="C")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def npy_bytes(array: Array) -> bytes:
    """Return `array` as the content of an .npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array, order="C"), allow_pickle=False)
    return stream.getvalue()


def npz_bytes(arrays: dict[str, Array]) -> bytes:
    """Return arrays as the content of an .npz file; the same arrays give the same bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy_bytes(array))
    return stream.getvalue()
