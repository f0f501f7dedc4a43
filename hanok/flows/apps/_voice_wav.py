"""Sound from WAV files and pipes as mono blocks at 16 kHz; a file is believed only as far as it goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hanok.flows.apps._voice_features import SAMPLE_RATE_HZ, FloatArray
from hanok.flows.apps._voice_resampling import Resampler
from hanok.flows.arrays import InputError

MAX_SECONDS = 600
MAX_CHANNELS = 64
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4_000, 192_000
_MAX_CHUNKS = 256
_MAX_BLOCK_BYTES = 4 << 20
_MAX_SKIPPED_BYTES = 16 << 20
_MAX_FORMAT_BYTES = 4096
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the format tag in the SubFormat of WAVE_FORMAT_EXTENSIBLE (RFC 2361)."""
_UNKNOWN_BYTES = 0x7FFF_0000
"""From here on a length is what programs write that do not know it yet; so is 0."""
_BLOCK_SECONDS = 10.0
_ALLOWED = "allowed: PCM of 8, 16, 24 or 32 bits, or floats of 32 or 64 bits"


@dataclass(frozen=True)
class _Format:
    is_float: bool
    channels: int
    rate_hz: int
    sample_bytes: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.sample_bytes


def read_wav(source: Path | BinaryIO) -> FloatArray:
    """The whole sound [samples], mono at 16 kHz, full scale 1; at most ten minutes.

    Raises InputError for what is no WAV file, or holds no sound, too much, or no numbers.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _read_whole(file, str(source))
        except OSError as error:
            raise InputError(
                f"{source}: cannot be read: {error.strerror or error}; give a WAV file"
            ) from None
    return _read_whole(source, _name_of(source))


def stream_wav(source: BinaryIO, seconds: float) -> Iterator[FloatArray]:
    """Blocks of about `seconds` as they come, mono at 16 kHz; a header without a length means until the end.

    Blocks of more than 4 MiB in the file are cut. Raises InputError as `read_wav` does, but has no longest
    sound.
    """
    origin = _name_of(source)
    if not 0.01 <= seconds <= 60:
        raise InputError(f"{origin}: blocks of {seconds:g} s; allowed: 0.01 to 60 s")
    found, left = _read_header(source, origin)
    resampler = Resampler(found.rate_hz)
    widest = _MAX_BLOCK_BYTES // found.frame_bytes
    block_bytes = max(1, min(round(seconds * found.rate_hz), widest)) * found.frame_bytes
    while left is None or left > 0:
        content = _read_up_to(source, block_bytes if left is None else min(block_bytes, left), origin)
        left = left if left is None else left - len(content)
        frames = len(content) // found.frame_bytes
        if frames == 0:
            break
        yield resampler.feed(_mono(content[: frames * found.frame_bytes], found, origin))
        if len(content) < block_bytes:
            break
    yield resampler.finish()


def _read_whole(source: BinaryIO, origin: str) -> FloatArray:
    blocks, samples = [], 0
    for block in stream_wav(source, _BLOCK_SECONDS):
        blocks.append(block)
        samples += block.size
        if samples > MAX_SECONDS * SAMPLE_RATE_HZ:
            raise InputError(f"{origin}: is longer than {MAX_SECONDS} s; cut it, or feed it through a pipe")
    if samples == 0:
        raise InputError(f"{origin}: holds no sound: its data chunk is empty")
    return np.concatenate(blocks)


def _read_header(source: BinaryIO, origin: str) -> tuple[_Format, int | None]:
    """Read up to the samples; return their format and bytes, None where the header does not know."""
    start = _read_up_to(source, 12, origin)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        raise InputError(f"{origin}: is no WAV file: it begins with {start[:12]!r}; expected RIFF....WAVE")
    found: _Format | None = None
    skipped = 0
    for _ in range(_MAX_CHUNKS):
        head = _read_up_to(source, 8, origin)
        if len(head) < 8:
            missing = "fmt" if found is None else "data"
            raise InputError(f"{origin}: ends before its {missing} chunk; it is cut short or damaged")
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data":
            if found is None:
                raise InputError(f"{origin}: has its samples before the fmt chunk that says what they are")
            return found, None if size == 0 or size >= _UNKNOWN_BYTES else size
        if name == b"fmt ":
            if size > _MAX_FORMAT_BYTES:
                raise InputError(f"{origin}: fmt chunk of {size} bytes; allowed: {_MAX_FORMAT_BYTES}")
            found = _parse_format(_read_up_to(source, size + size % 2, origin), origin)
            continue
        skipped += size
        if skipped > _MAX_SKIPPED_BYTES:
            raise InputError(f"{origin}: over {_MAX_SKIPPED_BYTES} bytes stand before its samples")
        _read_up_to(source, size + size % 2, origin)
    raise InputError(f"{origin}: over {_MAX_CHUNKS} chunks stand before its samples")


def _parse_format(content: bytes, origin: str) -> _Format:
    if len(content) < 16:
        raise InputError(f"{origin}: fmt chunk of {len(content)} bytes; expected 16 or more")
    tag, channels = int.from_bytes(content[:2], "little"), int.from_bytes(content[2:4], "little")
    rate_hz, frame_bytes = int.from_bytes(content[4:8], "little"), int.from_bytes(content[12:14], "little")
    bits = int.from_bytes(content[14:16], "little")
    if tag == _EXTENSIBLE:
        if len(content) < 40 or content[26:40] != _GUID_TAIL:
            raise InputError(f"{origin}: WAVE_FORMAT_EXTENSIBLE with a SubFormat that is unknown; {_ALLOWED}")
        tag = int.from_bytes(content[24:26], "little")
    if (tag, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        raise InputError(f"{origin}: samples of format {tag} with {bits} bits; {_ALLOWED}")
    if not 1 <= channels <= MAX_CHANNELS:
        raise InputError(f"{origin}: {channels} channels; allowed: 1..{MAX_CHANNELS}")
    if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
        raise InputError(
            f"{origin}: {rate_hz} samples a second; allowed: {LOWEST_RATE_HZ}..{HIGHEST_RATE_HZ}"
        )
    if frame_bytes != channels * bits // 8:
        raise InputError(
            f"{origin}: frames of {frame_bytes} bytes; {channels} channels of {bits} bits make others"
        )
    return _Format(tag == _FLOAT, channels, rate_hz, bits // 8)


def _mono(content: bytes, found: _Format, origin: str) -> FloatArray:
    """Whole frames as the mean of their channels, full scale 1."""
    if found.is_float:
        values = np.frombuffer(content, f"<f{found.sample_bytes}")
        if not np.isfinite(values).all() or np.abs(values).max(initial=0) > 1e30:
            raise InputError(f"{origin}: holds samples that are no numbers, or beyond 1e30")
        samples: FloatArray = values.astype(np.float32)
    elif found.sample_bytes == 1:
        samples = (np.frombuffer(content, np.uint8).astype(np.float32) - 128) / np.float32(128)
    elif found.sample_bytes == 3:
        wide = np.zeros((len(content) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        samples = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    else:
        whole = np.frombuffer(content, f"<i{found.sample_bytes}")
        samples = whole.astype(np.float32) / np.float32(2 ** (8 * found.sample_bytes - 1))
    mean: FloatArray = samples.reshape(-1, found.channels).mean(axis=1, dtype=np.float32)
    return mean


def _read_up_to(source: BinaryIO, size: int, origin: str) -> bytes:
    """`size` bytes, fewer at the end; a pipe may give them in pieces."""
    pieces, left = [], size
    try:
        while left > 0 and (piece := source.read(min(left, 1 << 20))):
            pieces.append(piece)
            left -= len(piece)
    except OSError as error:
        raise InputError(f"{origin}: cannot be read: {error.strerror or error}") from None
    return b"".join(pieces)


def _name_of(source: BinaryIO) -> str:
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "the sound"
