"""Picture files: every mode becomes RGB, hostile files are refused, names decide the format."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hanok.flows.apps.photo import check_picture_name, picture_bytes, read_picture, sample_photo
from hanok.flows.arrays import InputError


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return read_picture(sample_photo())


def saved(image: Image.Image, path: Path, **options: object) -> np.ndarray:
    image.save(path, **options)
    return read_picture(path)


def test_modes_become_rgb(tmp_path):
    red = Image.new("RGB", (5, 4), (250, 10, 20))
    assert saved(red, tmp_path / "a.png").tolist()[0][0] == [250, 10, 20]
    assert saved(red.convert("L"), tmp_path / "grey.png").shape == (4, 5, 3)
    assert saved(Image.new("1", (5, 4), 1), tmp_path / "bit.png").min() == 255
    deep = Image.fromarray(np.full((4, 5), 0x80FF, np.uint16))
    assert saved(deep, tmp_path / "deep.png").tolist()[0][0] == [128, 128, 128]
    cmyk = saved(red.convert("CMYK"), tmp_path / "cmyk.jpg", quality=95)
    assert cmyk[..., 0].mean() > 230
    assert cmyk[..., 1].mean() < 40


def test_transparency_lies_on_white(tmp_path):
    clear = Image.new("RGBA", (5, 4), (0, 0, 0, 0))
    assert saved(clear, tmp_path / "clear.png").min() == 255
    palette = Image.new("P", (5, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert saved(palette, tmp_path / "solid.png").tolist()[0][0] == [10, 200, 30]
    assert saved(palette, tmp_path / "palette.png", transparency=1).min() == 255


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]


def test_pictures_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (30, 20, 3)


def test_what_is_not_a_picture(tmp_path):
    with pytest.raises(InputError, match=r"none.png: no such file"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(InputError, match="is not a file"):
        read_picture(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(InputError, match="is not a picture that can be read; allowed: JPEG, PNG"):
        read_picture(tmp_path / "text.png")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="is not a picture"):
        read_picture(tmp_path / "empty.jpg")
    Image.new("F", (3, 3)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match="32-bit floats; allowed: 8 or 16 bits"):
        read_picture(tmp_path / "float.tiff")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_damaged_files_are_refused_or_read(tmp_path, kind):
    """Cut short at every hundredth byte, and with bytes changed: an InputError or a picture, nothing else."""
    random = np.random.default_rng(6)
    stream = io.BytesIO()
    Image.fromarray(random.integers(0, 256, (24, 31, 3)).astype(np.uint8)).save(stream, kind)
    content = stream.getvalue()
    path = tmp_path / "damaged"
    damaged = [content[: len(content) * share // 20] for share in range(1, 20)]
    for _ in range(60):
        changed = bytearray(content)
        for place in random.integers(0, min(len(content), 400), 4):
            changed[place] = random.integers(256)
        damaged.append(bytes(changed))
    refused = 0
    for each in damaged:
        path.write_bytes(each)
        try:
            assert read_picture(path).dtype == np.uint8
        except InputError:
            refused += 1
    assert refused > 5


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )


def test_bombs_are_refused_before_they_are_decoded(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(12_500, 12_500))
    with pytest.raises(InputError, match="12500 x 12500 is 156,250,000 pixels; allowed: at most 150,000,000"):
        read_picture(tmp_path / "bomb.png")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000))
    with pytest.raises(InputError, match="too many pixels; allowed: at most 150,000,000"):
        read_picture(tmp_path / "bomb.png")


def test_bytes_of_files(tmp_path, sample):
    def written(name: str, picture: np.ndarray) -> Path:
        (tmp_path / name).write_bytes(picture_bytes(Path(name), picture))
        return tmp_path / name

    assert np.array_equal(read_picture(written("a.png", sample)), sample)
    assert np.abs(read_picture(written("a.JPG", sample)).astype(int) - sample).mean() < 3
    with Image.open(written("alpha.png", np.zeros((4, 5, 4), np.uint8))) as image:
        assert image.mode == "RGBA"


def test_names_that_a_picture_cannot_have(sample):
    with pytest.raises(InputError, match=r"ends in .txt; allowed: .png, .jpg, .jpeg"):
        picture_bytes(Path("a.txt"), sample)
    with pytest.raises(InputError, match=r"ends in nothing"):
        check_picture_name(Path("a"))
    for refused in (
        lambda: check_picture_name(Path("a.jpg"), transparent=True),
        lambda: picture_bytes(Path("a.jpg"), np.zeros((4, 5, 4), np.uint8)),
    ):
        with pytest.raises(InputError, match="JPEG has no transparency"):
            refused()
    with pytest.raises(InputError, match="at most 65500 a side"):
        picture_bytes(Path("a.jpg"), np.zeros((1, 65_501, 3), np.uint8))
