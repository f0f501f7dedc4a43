"""The first start of a tool that comes as WebAssembly, by one process while others wait."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from hanok.numerics.locks import alone


@lru_cache
def prepare(package: str, function: str) -> None:
    """Let one process start a tool of YoWASP's, `function` of `package`, for the first time.

    The package then makes machine code of it, which takes a minute of a processor, and keeps it; processes
    that begin before it is kept would each make it. An empty file in hanok's cache says that it was. A tool
    that cannot be started says so when it is used.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "hanok"
    kept_in = hashlib.sha256(os.environ.get("YOWASP_CACHE_DIR", "").encode()).hexdigest()[:8]
    started = home / f"{function}-{importlib.metadata.version(package)}-{kept_in}.started"
    with alone(started.with_name(f"{started.name}.lock")):
        if started.is_file():
            return
        code = f"import sys, {package}; sys.exit({package}.{function}(['--version']))"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        if ended.returncode == 0:
            with contextlib.suppress(OSError):  # a folder that cannot be written
                started.touch()
