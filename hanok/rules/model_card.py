"""Model cards: what a model file itself tells, beside what its maker says of purpose, data and quality."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hanok.rules._record import Line, Record, Rows, Words
from hanok.rules.evidence import sha256_of


class Quality(Record):
    """One recorded figure: measured on what, of which form of the model, from where."""

    metric: Line
    value: Line
    data: Line
    form: Words = ""
    source: Words = ""


class ModelEntry(Record):
    """A model as a system's file names it."""

    name: Line
    file: Annotated[str, Field(max_length=1000)] = ""
    purpose: Words = ""
    training_data: Words = ""
    limits: Words = ""
    licence: Words = ""
    quality: Rows[Quality] = ()


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model."""

    entry: ModelEntry
    figures: tuple[tuple[str, str], ...]
    """(what, value), read from the file."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What nobody has said."""
        absent = [
            name
            for name in ("purpose", "training_data", "limits", "licence")
            if not getattr(self.entry, name)
        ]
        return (*absent, *([] if self.entry.quality else ["quality"]))


def model_card(entry: ModelEntry, folder: Path, origin: str) -> ModelCard:
    """Return the card of a model whose file is found from `folder`; raises RulesError or ModelError."""
    if not entry.file:
        return ModelCard(entry, ())
    path = folder / entry.file
    size, digest = sha256_of(path, f"{origin}: model '{entry.name}'")
    figures = [("file", entry.file), ("bytes", f"{size:,}"), ("SHA-256", digest)]
    if path.suffix == ".onnx":
        figures += _onnx_figures(path)
    elif path.suffix == ".hanok":
        figures += _program_figures(path)
    return ModelCard(entry, tuple(figures))


def card_markdown(card: ModelCard) -> str:
    """Return a card as Markdown, its texts on lines of their own."""
    entry = card.entry
    lines = [f"# {_flat(entry.name)}", ""]
    for title, text in (
        ("Purpose / 용도", entry.purpose),
        ("Training data / 학습데이터", entry.training_data),
        ("Limits / 한계", entry.limits),
        ("Licence / 이용 조건", entry.licence),
    ):
        lines += [f"## {title}", _flat(text) or "not said / 미기재", ""]
    lines += ["## File / 파일", *(f"- {name}: {_flat(value)}" for name, value in card.figures), ""]
    lines += ["## Quality / 품질"]
    lines += [
        f"- {_flat(item.metric)}: {_flat(item.value)} on {_flat(item.data)}"
        f"{f' ({_flat(item.form)})' if item.form else ''}{f'; {_flat(item.source)}' if item.source else ''}"
        for item in entry.quality
    ] or ["not said / 미기재"]
    return "\n".join(lines) + "\n"


def _onnx_figures(path: Path) -> list[tuple[str, str]]:
    from hanok.graph import load_model

    model: Any = load_model(path)
    graph = model.graph
    kinds = Counter(node.op_type for node in graph.node)
    parameters = sum(prod(tensor.dims) for tensor in graph.initializer)
    inner = {tensor.name for tensor in graph.initializer}
    quantised = any(name.startswith(("QuantizeLinear", "DequantizeLinear", "QLinear")) for name in kinds)
    return [
        ("parameters", f"{parameters:,}"),
        ("form", "quantised (QuantizeLinear)" if quantised else "float"),
        ("operators", ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))),
        ("inputs", ", ".join(_shape(value) for value in graph.input if value.name not in inner)),
        ("outputs", ", ".join(_shape(value) for value in graph.output)),
    ]


def _shape(value: Any) -> str:
    sizes = value.type.tensor_type.shape.dim
    return f"{value.name} [{', '.join(size.dim_param or str(size.dim_value) for size in sizes)}]"


def _program_figures(path: Path) -> list[tuple[str, str]]:
    from hanok.isa.file import load_program

    program = load_program(path)
    return [
        ("form", "program of a hanok chip"),
        ("inputs", ", ".join(info.name for info in program.inputs)),
        ("outputs", ", ".join(info.name for info in program.outputs)),
    ]


def _flat(text: str) -> str:
    """The text on one line, so that it cannot begin a heading or a list of its own."""
    return " ".join(text.split())
