"""What is declared about a product beside its chip: who it is for, where it goes, and evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from hanok.rules._record import Record, Words, check, read_toml
from hanok.rules.evidence import Given

Declared = dict[str, Any]


class ProductFile(Record):
    """A declaration: quantities of the packs, and pieces of evidence by their ids."""

    product: Declared = Field(default_factory=dict)
    evidence: dict[str, Given | Words] = Field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """A declaration, and the folder from which its files are found."""

    declared: Declared
    evidence: dict[str, Given | str]
    folder: Path
    origin: str


NO_PRODUCT = Product({}, {}, Path(), "the command line")


def read_product(path: str | Path) -> Product:
    """Return a declaration; raises RulesError that names the field."""
    file = check(ProductFile, read_toml(path), str(path))
    return Product(file.product, file.evidence, Path(path).parent, str(path))
