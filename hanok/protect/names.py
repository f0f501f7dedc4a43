"""Names of files in a bundle: refused, on both sides, where they could leave a folder or deceive a reader."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from hanok.errors import HanokError

MOST_COMPONENT_BYTES = 255
"""NAME_MAX of Linux and macOS."""
MOST_PATH_BYTES = 1024
"""PATH_MAX of macOS."""
_FORBIDDEN = frozenset('<>:"/\\|?*')
"""What Windows takes in no name; `:` also opens its second streams, `<` and `>` are tags of HTML."""
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"]
)
"""Devices of Windows, with any ending (Naming Files, Paths and Namespaces, learn.microsoft.com)."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories: controls (terminal escapes), invisible marks and overrides of direction, surrogates,
private characters, line and paragraph separators. Unassigned ones pass: which they are differs by version."""


class UnsafeNameError(HanokError):
    """A name of a file or a text that is refused."""


def check_path(path: str) -> None:
    """Refuse a path (components between `/`) that is not plainly inside its folder, on any system."""
    shown = ascii(path)[1:-1][:120]
    if len(path.encode("utf-8", "surrogatepass")) > MOST_PATH_BYTES:
        raise UnsafeNameError(
            f"path '{shown}...': is longer than {MOST_PATH_BYTES} bytes; shorten its folders"
        )
    for component in path.split("/"):
        fault = _fault(component)
        if fault:
            raise UnsafeNameError(f"path '{shown}': {fault}; rename it")


def _fault(component: str) -> str:
    """What is wrong with one component of a path, "" if nothing is."""
    if component in ("", ".", ".."):
        return f"the component '{component}' leads out of its folder or nowhere"
    if any(unicodedata.category(character) in _HIDDEN for character in component):
        return "holds a control character, an invisible one, or bytes that are no UTF-8"
    if _FORBIDDEN & set(component):
        return 'holds one of < > : " \\ | ? *, which not every system takes'
    if component[-1] in ". " or component[0] == " ":
        return "begins with a blank, or ends with one or a full stop"
    if component.split(".", 1)[0].rstrip().casefold() in _RESERVED:
        return "is the name of a device on Windows"
    if len(component.encode("utf-8")) > MOST_COMPONENT_BYTES:
        return f"has a component longer than {MOST_COMPONENT_BYTES} bytes"
    return ""


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that are wrong, twice there, inside another file, or one to a system blind to case."""
    spellings: dict[str, str] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for path in paths:
        check_path(path)
        if path in files:
            raise UnsafeNameError(f"path '{path:.120}': is there twice")
        files.add(path)
        place = path
        while place:
            spelled = spellings.setdefault(_blind(place), place)
            if spelled != place:
                raise UnsafeNameError(
                    f"paths '{spelled:.120}' and '{place:.120}': are one where case or accents do not count; "
                    "rename one"
                )
            place = place.rpartition("/")[0]
            if place in folders:
                break
            folders.add(place)
    both = sorted(files & folders)
    if both:
        raise UnsafeNameError(f"path '{both[0]:.120}': is a file and a folder")


def check_line(text: str, what: str, most: int = 200) -> str:
    """Return a text that may stand in one line: 1 to `most` characters, none of them hidden."""
    if not 0 < len(text) <= most or any(unicodedata.category(letter) in _HIDDEN for letter in text):
        raise UnsafeNameError(f"{what}: write 1 to {most} characters in one line, without control characters")
    return text


def check_text(text: str, what: str, most: int) -> str:
    """Return a text of several lines: up to `most` characters, none hidden but ends of lines and tabs."""
    plain = text.replace("\n", "").replace("\t", "")
    if len(text) > most or any(unicodedata.category(letter) in _HIDDEN for letter in plain):
        raise UnsafeNameError(f"{what}: write up to {most} characters, without control characters")
    return text


def _blind(path: str) -> str:
    """The path to a file system that counts neither case nor the form of accents (HFS+, APFS, NTFS)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
