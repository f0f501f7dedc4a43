"""Labels on pictures: what a mark and a C2PA manifest cost, and what becomes of damage, beside the required.

`python benchmarks/labels.py`: some 40 s of one core, with `hanok[c2pa]`. A picture of 12 megapixels of noise
is marked, signed and read (times of the processor). One bit in each byte of a small signed picture is turned
over, of a JPEG, which has no checksums; the manifest of a PNG is damaged at random: bytes change, are cut
out or put in, and the checksum is right.
"""

from __future__ import annotations

import io
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "protect"))
from table import print_table
from trial_chain import KINDS, TrialRoot

from hanok.protect.certificates import Credential
from hanok.protect.content_credentials import Action, Claim, ManifestError, read_manifest, sign_picture
from hanok.rules.digital_source import GENERATED
from hanok.rules.errors import RulesError
from hanok.rules.label import labelled_picture, picture_mark

DAMAGED = 8000
KIND, JPEG, NAME = "image/png", "image/jpeg", "picture"
CLAIM = Claim(NAME, (Action("c2pa.created", GENERATED.uri, "painter"),), "hanok", "1")
OUTCOMES = ("refused", "does not stand", "stands, says the same", "stands, says else")
BIT, BOX = "JPEG: a bit turned over", "PNG: manifest damaged"
Result = TypeVar("Result")


def credential(kind: str) -> Credential:
    root, key = TrialRoot(kind), KINDS[kind]()
    return Credential((root.issue(key), root.certificate), key)


def noise(height: int, width: int, kind: str = "PNG") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, compress_level=1)
    return stream.getvalue()


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def costs() -> list[tuple[str, ...]]:
    plain, signer = noise(3000, 4000), credential("ES256")
    marking, marked = timed(lambda: labelled_picture(plain, GENERATED, "painter", NAME))
    signing, signed = timed(lambda: sign_picture(marked, KIND, CLAIM, signer))
    reading, _ = timed(lambda: read_manifest(signed, KIND, (), NAME))
    return [
        ("mark", f"{marking:.2f} s", f"{len(marked) - len(plain):,} bytes"),
        ("sign", f"{signing:.2f} s", f"{len(signed) - len(marked):,} bytes"),
        ("check", f"{reading:.2f} s", "-"),
    ]


def sizes() -> list[tuple[str, ...]]:
    plain = noise(8, 8)
    return [
        (kind, f"{len(sign_picture(plain, KIND, CLAIM, credential(kind))) - len(plain):,}") for kind in KINDS
    ]


def outcome(content: bytes, signed: bytes, kind: str = KIND) -> str:
    """What a check says of a changed picture, as `hanok rules label --check` does."""
    try:
        picture_mark(content, NAME)
        found = read_manifest(content, kind, (), NAME)
    except (RulesError, ManifestError):
        return OUTCOMES[0]
    if found.failures:
        return OUTCOMES[1]
    return OUTCOMES[2] if found == read_manifest(signed, kind, (), NAME) else OUTCOMES[3]


def manifest_place(signed: bytes) -> tuple[int, int]:
    """Begin and end of the chunk that holds the manifest."""
    place = signed.index(b"caBX") - 4
    return place, place + 12 + int.from_bytes(signed[place : place + 4], "big")


def turned_bits(signed: bytes) -> Counter[str]:
    counted: Counter[str] = Counter()
    for place in range(len(signed)):
        content = bytearray(signed)
        content[place] ^= 1 << place % 8
        counted[outcome(bytes(content), signed, JPEG)] += 1
    return counted


def damaged(box: bytes, chance: random.Random) -> bytes:
    changed = bytearray(box)
    for _ in range(chance.randint(1, 8)):
        place, kind = chance.randrange(len(changed)), chance.random()
        if kind < 0.6:
            changed[place] = chance.choice([0, 127, 128, 255, chance.randrange(256)])
        elif kind < 0.8:
            del changed[place : place + chance.randrange(1, 40)]
        else:
            changed[place:place] = chance.randbytes(chance.randrange(1, 20))
    return bytes(changed)


def damaged_manifests(signed: bytes) -> Counter[str]:
    chance, (begin, end) = random.Random(1), manifest_place(signed)
    counted: Counter[str] = Counter()
    for _ in range(DAMAGED):
        body = b"caBX" + damaged(signed[begin + 8 : end - 4], chance)
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        counted[outcome(signed[:begin] + chunk + signed[end:], signed)] += 1
    return counted


def main() -> None:
    print("A photo of 12 megapixels, ES256")
    print_table(("step", "processor", "added"), costs())
    print("\nBytes that a manifest adds to a small picture")
    print_table(("algorithm", "bytes"), sizes())
    print("\nChanged pictures; required: none stands and says anything else")
    jpeg = sign_picture(noise(8, 8, "JPEG"), JPEG, CLAIM, credential("ES256"))
    png = sign_picture(noise(8, 8), KIND, CLAIM, credential("ES256"))
    headings = ("change", "tried", *OUTCOMES)
    print_table(headings, [row(*case) for case in ((BIT, turned_bits(jpeg)), (BOX, damaged_manifests(png)))])


def row(what: str, counted: Counter[str]) -> tuple[str, ...]:
    return (what, f"{counted.total():,}", *(f"{counted[name]:,}" for name in OUTCOMES))


if __name__ == "__main__":
    main()
