"""What a thief does to the Verilog of a core before passing it on."""

from __future__ import annotations

import re
from pathlib import Path


def rewritten(folder: Path) -> str:
    """The Verilog of a folder as one file, without comments, in other lines, its modules renamed."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(folder.rglob("*.v")))
    text = re.sub(r"//.*", "", text)
    names = re.findall(r"^module (\w+)", text, re.MULTILINE)
    for number, name in enumerate(sorted(names, key=len, reverse=True)):
        text = re.sub(rf"\b{name}\b(?= \w+ \(|\()", f"block_{number}", text)
    return re.sub(r"[ \t]+", " ", text).replace(";\n", "; ")
