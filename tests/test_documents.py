"""Documents point at what is there: links, modules and the names in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|(?:src|srcset)=\"([^\"]+)\"")
MODULE = re.compile(r"`([\w./]*\w\.py)(?:: (\w[\w.]*))?`")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _found(module: str) -> list[Path]:
    """Files of the repository whose path ends with `module`."""
    folders = (ROOT / folder for folder in ("hanok", "tests", "benchmarks", "examples"))
    ending = f"/{module}"
    return [path for folder in folders for path in folder.rglob("*.py") if f"/{_name(path)}".endswith(ending)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = [first or second for first, second in LINK.findall(document.read_text("utf-8"))]
    missing = [
        target for target in targets if "://" not in target and not (document.parent / target).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_modules_and_their_names_exist(document: Path) -> None:
    for module, name in MODULE.findall(document.read_text("utf-8")):
        files = _found(module)
        assert files, f"{module} is not there"
        for part in filter(None, name.split(".")):
            pattern = re.compile(rf"(def|class) {part}\b|^\s*{part}(:| =)|import.*\b{part}\b", re.MULTILINE)
            texts = [path.read_text("utf-8") for path in files]
            assert any(pattern.search(text) for text in texts), f"{module} has no {part}"
