"""Pictures in files: read with their size checked before they are decoded, and as the bytes of a file."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from hanok.flows.arrays import InputError

Picture = npt.NDArray[np.uint8]

MAX_PIXELS = 150_000_000
"""Of a picture that is read; Pillow itself refuses above 178 million."""
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM"
_JPEG_ENDINGS = (".jpg", ".jpeg")
_JPEG_LONGEST = 65_500
_FLAWS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    zlib.error,
    ArithmeticError,
    LookupError,
    TypeError,
    MemoryError,
)
"""What Pillow raises for files that are damaged, cut short or made to harm."""


def read_picture(path: Path) -> Picture:
    """The picture as uint8 [height, width, 3], upright as its EXIF data says, on white where transparent.

    Any mode becomes RGB: grey, palettes, CMYK, 16 bits; of an animation the first frame. Raises InputError.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; give a picture ({_NAMES})")
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give a picture ({_NAMES})")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _opened(path) as image:
                return _upright_rgb(image, path)
    except InputError:
        raise
    except Image.DecompressionBombError:
        raise InputError(f"{path}: has too many pixels; allowed: at most {MAX_PIXELS:,}") from None
    except _FLAWS as error:
        raise InputError(f"{path}: is cut short or damaged: {_first_line(error)}") from None


def _opened(path: Path) -> Image.Image:
    """The picture's header; nothing is decoded yet."""
    try:
        image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise InputError(f"{path}: is not a picture that can be read; allowed: {_NAMES}") from None
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        image.close()
        size = f"{image.width} x {image.height}"
        raise InputError(f"{path}: {size} is {pixels:,} pixels; allowed: at most {MAX_PIXELS:,}")
    return image


def _upright_rgb(image: Image.Image, path: Path) -> Picture:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        levels = np.clip(np.asarray(image).astype(np.int64), 0, 65_535) >> 8
        return np.repeat(levels.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode == "F":
        raise InputError(f"{path}: its pixels are 32-bit floats; allowed: 8 or 16 bits; convert it first")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGB", layer.size, (255, 255, 255))
        ground.paste(layer, mask=layer.getchannel("A"))
        return np.array(ground)
    return np.array(image.convert("RGB"))


def check_picture_name(path: Path, *, transparent: bool = False) -> None:
    """Refuse a name that a picture cannot have: allowed are .png, and .jpg where nothing is transparent."""
    ending = path.suffix.lower()
    if ending not in (".png", *_JPEG_ENDINGS):
        raise InputError(f"{path}: ends in {ending or 'nothing'}; allowed: .png, .jpg, .jpeg")
    if ending != ".png" and transparent:
        raise InputError(f"{path}: JPEG has no transparency, which a cutout needs; write a .png")


def picture_bytes(path: Path, picture: Picture) -> bytes:
    """The file of uint8 [height, width, 3 or 4], PNG or JPEG by the ending of `path`.

    Raises InputError where the ending is another, or a JPEG would need transparency or be too large.
    """
    check_picture_name(path, transparent=picture.shape[2] == 4)
    image, stream = Image.fromarray(np.ascontiguousarray(picture)), io.BytesIO()
    if path.suffix.lower() == ".png":
        image.save(stream, "PNG", compress_level=4)
        return stream.getvalue()
    if max(picture.shape[:2]) > _JPEG_LONGEST:
        size = f"{picture.shape[1]} x {picture.shape[0]}"
        raise InputError(f"{path}: {size} pixels; a JPEG has at most {_JPEG_LONGEST} a side; write a .png")
    image.save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
