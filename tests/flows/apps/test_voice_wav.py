"""WAV files in every format that is read, at any rate, through pipes, damaged, and hostile."""

from __future__ import annotations

import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.errors import HanokError
from hanok.flows.apps._voice_resampling import Resampler
from hanok.flows.apps.voice import read_wav, stream_wav
from hanok.flows.arrays import InputError

RATE_HZ = 16_000
GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")


def tone(rate_hz: int, frequency_hz: float = 440.0, seconds: float = 0.25) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def wav_bytes(
    content: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate_hz: int = RATE_HZ,
    bits: int = 16,
    data_size: int | None = None,
    extensible: bool = False,
    before_data: bytes = b"",
) -> bytes:
    """A RIFF file, put together by hand."""
    frame_bytes = channels * bits // 8
    head = struct.pack(
        "<HHIIHH",
        0xFFFE if extensible else tag,
        channels,
        rate_hz,
        rate_hz * frame_bytes % 2**32,
        frame_bytes,
        bits,
    )
    if extensible:
        head += struct.pack("<HHIH", 22, bits, 0, tag) + GUID_TAIL
    size = len(content) if data_size is None else data_size
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + before_data
    chunks += b"data" + struct.pack("<I", size) + content
    return b"RIFF" + struct.pack("<I", (4 + len(chunks)) % 2**32) + b"WAVE" + chunks


def packed(sound: np.ndarray, tag: int, bits: int) -> bytes:
    if tag == 3:
        return sound.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return np.round(sound * 127 + 128).astype(np.uint8).tobytes()
    whole = np.round(sound * (2 ** (bits - 1) - 1)).astype("<i4")
    if bits == 24:
        return whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return whole.astype(f"<i{bits // 8}").tobytes()


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time and cannot seek."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._left = memoryview(content)
        self._piece = piece
        self.taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        count = self._piece if size < 0 else min(size, self._piece)
        given, self._left = bytes(self._left[:count]), self._left[count:]
        self.taken += len(given)
        return given


@pytest.mark.parametrize("extensible", [False, True])
@pytest.mark.parametrize(("tag", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)])
def test_every_sample_format_gives_the_same_sound(tag: int, bits: int, extensible: bool) -> None:
    sound = tone(RATE_HZ)
    content = wav_bytes(packed(sound, tag, bits), tag=tag, bits=bits, extensible=extensible)
    read = read_wav(io.BytesIO(content))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, sound, atol=1.5 / 127 if bits == 8 else 1e-4)


def test_channels_are_averaged() -> None:
    left, right = tone(RATE_HZ), tone(RATE_HZ, 1000.0)
    both = np.stack([left, right, np.zeros_like(left)], axis=1)
    read = read_wav(io.BytesIO(wav_bytes(packed(both.reshape(-1), 3, 32), tag=3, bits=32, channels=3)))
    np.testing.assert_allclose(read, (left + right) / 3, atol=1e-6)


def test_the_standard_library_writes_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(packed(np.repeat(tone(44_100), 2), 1, 16))
    assert read_wav(path).size == RATE_HZ // 4


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_a_tone_and_its_loudness(rate_hz: int) -> None:
    read = read_wav(
        io.BytesIO(wav_bytes(packed(tone(rate_hz, 1500.0), 3, 32), tag=3, bits=32, rate_hz=rate_hz))
    )
    assert read.size == RATE_HZ // 4
    np.testing.assert_allclose(read[200:-200], tone(RATE_HZ, 1500.0)[200:-200], atol=1e-4)


def test_resampling_lets_nothing_above_8_khz_fold_back() -> None:
    read = read_wav(
        io.BytesIO(wav_bytes(packed(tone(48_000, 9500.0), 3, 32), tag=3, bits=32, rate_hz=48_000))
    )
    assert np.abs(read[200:-200]).max() < 1e-4


@settings(deadline=None, max_examples=15)
@given(rate_hz=st.integers(4000, 60_000), cuts=st.lists(st.integers(0, 3000), max_size=8))
def test_resampling_gives_the_same_samples_whatever_the_blocks(rate_hz: int, cuts: list[int]) -> None:
    sound = np.random.default_rng(rate_hz).standard_normal(3000).astype(np.float32)
    whole, pieces = Resampler(rate_hz), Resampler(rate_hz)
    wanted = np.concatenate([whole.feed(sound), whole.finish()])
    blocks = np.split(sound, sorted(cuts))
    found = np.concatenate([*[pieces.feed(block) for block in blocks], pieces.finish()])
    np.testing.assert_array_equal(found, wanted)
    assert wanted.size == -(-3000 * RATE_HZ // rate_hz)


@pytest.mark.parametrize("data_size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_length_that_is_not_known_yet_means_until_the_end(data_size: int) -> None:
    sound = tone(RATE_HZ)
    content = wav_bytes(packed(sound, 1, 16), data_size=data_size)
    blocks = list(stream_wav(Pipe(content, 999), 0.05))  # type: ignore[arg-type]
    np.testing.assert_allclose(np.concatenate(blocks), sound, atol=1e-4)
    assert {block.size for block in blocks} == {0, 800}
    assert read_wav(io.BytesIO(content)).size == sound.size


def test_a_stream_is_read_no_further_than_its_blocks() -> None:
    pipe = Pipe(wav_bytes(packed(tone(RATE_HZ), 1, 16), data_size=0), 64)
    stream = stream_wav(pipe, 0.05)  # type: ignore[arg-type]
    assert next(stream).size == 800
    assert pipe.taken <= 44 + 1600


def test_chunks_around_the_samples_are_passed_over() -> None:
    sound = tone(RATE_HZ)
    info = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    content = wav_bytes(packed(sound, 1, 16), before_data=info) + b"id3 " + struct.pack("<I", 4) + b"abcd"
    assert read_wav(io.BytesIO(content)).size == sound.size


def test_a_file_that_is_cut_short_gives_what_is_there() -> None:
    content = wav_bytes(packed(tone(RATE_HZ), 1, 16))
    assert read_wav(io.BytesIO(content[:-1001])).size == (len(content) - 44 - 1001) // 2


HEAD = wav_bytes(b"")[:36]
REFUSED = [
    (b"", "is no WAV file: it begins with b''"),
    (b"\xff\xd8\xff\xe0JFIF....", "is no WAV file: it begins with"),
    (HEAD[:12], "ends before its fmt chunk"),
    (HEAD, "ends before its data chunk"),
    (HEAD[:12] + b"data" + bytes(4), "has its samples before the fmt chunk"),
    (HEAD[:12] + b"fmt " + struct.pack("<I", 1 << 30), "fmt chunk of 1073741824 bytes; allowed: 4096"),
    (HEAD[:12] + b"fmt " + struct.pack("<I", 4) + bytes(4), "fmt chunk of 4 bytes; expected 16"),
    (HEAD[:12] + b"junk" + struct.pack("<I", 1 << 31), "bytes stand before its samples"),
    (HEAD[:12] + (b"junk" + bytes(4)) * 300, "over 256 chunks stand before its samples"),
    (wav_bytes(bytes(64), tag=2, bits=16), "samples of format 2 with 16 bits; allowed: PCM of 8"),
    (wav_bytes(bytes(64), tag=1, bits=12), "samples of format 1 with 12 bits"),
    (wav_bytes(bytes(64), tag=3, bits=16), "samples of format 3 with 16 bits"),
    (wav_bytes(bytes(64), channels=0), "0 channels; allowed: 1..64"),
    (wav_bytes(bytes(64), channels=65), "65 channels; allowed: 1..64"),
    (wav_bytes(bytes(64), rate_hz=0), "0 samples a second; allowed: 4000..192000"),
    (wav_bytes(bytes(64), rate_hz=4_000_000_000), "4000000000 samples a second"),
    (wav_bytes(bytes(64)).replace(b"\x02\x00\x10\x00", b"\x03\x00\x10\x00"), "frames of 3 bytes"),
    (wav_bytes(bytes(64), extensible=True).replace(GUID_TAIL, bytes(14)), "a SubFormat that is unknown"),
    (wav_bytes(b""), "holds no sound: its data chunk is empty"),
    (wav_bytes(struct.pack("<f", float("nan")) * 9, tag=3, bits=32), "samples that are no numbers"),
    (wav_bytes(struct.pack("<d", 1e200) * 9, tag=3, bits=64), "beyond 1e30"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_what_is_no_sound_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        read_wav(io.BytesIO(content))


def test_a_sound_of_more_than_ten_minutes_is_refused() -> None:
    content = wav_bytes(bytes(601 * 4000), bits=8, rate_hz=4000)
    with pytest.raises(InputError, match="is longer than 600 s; cut it, or feed it through a pipe"):
        read_wav(io.BytesIO(content))


def test_missing_files_folders_and_silly_blocks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"clip\.wav: cannot be read: No such file"):
        read_wav(tmp_path / "clip.wav")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_wav(tmp_path)
    with pytest.raises(InputError, match=r"blocks of 0 s; allowed: 0\.01 to 60 s"):
        list(stream_wav(io.BytesIO(wav_bytes(b"")), 0))


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60))
def test_no_damage_leads_to_anything_but_a_sound_or_an_input_error(noise: bytes, place: int) -> None:
    good = wav_bytes(packed(tone(8000, seconds=0.01), 1, 16), rate_hz=8000)
    damaged = good[:place] + noise + good[place + len(noise) :]
    try:
        assert np.isfinite(read_wav(io.BytesIO(damaged))).all()
    except HanokError:
        return
