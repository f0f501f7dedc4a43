"""Readers of message catalogues: each gives the English and Korean texts of one program."""

from __future__ import annotations

import ast
import gettext
import io
import json
import re
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

Pair = tuple[str, str]
_ANDROID_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_RESOURCE_KEY = "{http://schemas.microsoft.com/winfx/2006/xaml}Key"


def read_android(english: bytes, korean: bytes) -> Iterator[Pair]:
    """strings.xml of an Android application: strings, arrays, and the plural form `other`."""
    first, second = _android_texts(english), _android_texts(korean)
    yield from ((first[key], second[key]) for key in first if key in second)


def _android_texts(content: bytes) -> dict[str, str]:
    texts: dict[str, str] = {}
    for element in ElementTree.fromstring(content):
        name = element.get("name", "")
        if element.get("translatable") == "false":
            continue
        if element.tag == "string":
            texts[name] = _android_text(element)
        items = element.findall("item")
        if element.tag == "string-array":
            texts |= {f"{name}/{len(items)}/{place}": _android_text(item) for place, item in enumerate(items)}
        if element.tag == "plurals":
            texts |= {f"{name}/{item.get('quantity')}": _android_text(item) for item in items}
    return {name: text for name, text in texts.items() if not text.startswith(("@", "?"))}


def _android_text(element: ElementTree.Element) -> str:
    text = re.sub(r"\s+", " ", "".join(element.itertext())).strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1]
    return _ANDROID_ESCAPE.sub(_android_sign, text)


def _android_sign(match: re.Match[str]) -> str:
    sign = match.group(1)
    return chr(int(sign[1:], 16)) if len(sign) == 5 else {"n": "\n", "t": " "}.get(sign, sign)


def read_resources(english: bytes, korean: bytes) -> Iterator[Pair]:
    """.resx and .resw: values by name."""
    first, second = (
        {data.get("name"): data.findtext("value") or "" for data in ElementTree.fromstring(each).iter("data")}
        for each in (english, korean)
    )
    yield from ((first[key], second[key]) for key in first if key in second)


def read_dictionary(english: bytes, korean: bytes) -> Iterator[Pair]:
    """A XAML dictionary of strings by key."""
    first, second = (
        {item.get(_RESOURCE_KEY): item.text or "" for item in ElementTree.fromstring(each)}
        for each in (english, korean)
    )
    yield from ((first[key], second[key]) for key in first if key in second)


def read_json(english: bytes, korean: bytes) -> Iterator[Pair]:
    """Texts of two JSON files by their path."""
    first, second = (
        dict(_json_texts(json.loads(each.decode("utf-8-sig")), "")) for each in (english, korean)
    )
    yield from ((first[key], second[key]) for key in first if key in second)


def _json_texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if not str(key).endswith(".comment"):
                yield from _json_texts(item, f"{path}/{key}")
    elif isinstance(value, str):
        yield path, value


def read_xliff(english: bytes, korean: bytes) -> Iterator[Pair]:
    """An XLIFF file, which holds both languages."""
    for unit in ElementTree.fromstring(korean).iter():
        if unit.tag.endswith("trans-unit"):
            texts = {child.tag.rpartition("}")[2]: child for child in unit}
            if "target" in texts and texts["target"].get("state") == "translated":
                yield "".join(texts["source"].itertext()), "".join(texts["target"].itertext())


def read_compiled(english: bytes, korean: bytes) -> Iterator[Pair]:
    """A compiled gettext catalogue (.mo)."""
    catalogue = gettext.GNUTranslations(io.BytesIO(korean))
    for key, text in catalogue._catalog.items():  # type: ignore[attr-defined]
        source = key[0] if isinstance(key, tuple) else key
        yield source.rpartition("\x04")[2], text


def read_gettext(english: bytes, korean: bytes) -> Iterator[Pair]:
    """A gettext catalogue (.po) without its fuzzy entries."""
    for block in korean.decode().split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#~")]
        if any(line.startswith("#,") and "fuzzy" in line for line in lines):
            continue
        fields: dict[str, str] = {}
        name = ""
        for line in lines:
            if match := re.match(r"(msg\w+(?:\[\d\])?)\s+(\".*\")$", line):
                name = match.group(1)
                fields[name] = ast.literal_eval(match.group(2))
            elif line.startswith('"') and name:
                fields[name] += ast.literal_eval(line)
        if fields.get("msgid"):
            yield (
                fields.get("msgid_plural", fields["msgid"]),
                fields.get("msgstr[0]", fields.get("msgstr", "")),
            )


READERS: dict[str, Callable[[bytes, bytes], Iterator[Pair]]] = {
    "android": read_android,
    "compiled": read_compiled,
    "dictionary": read_dictionary,
    "gettext": read_gettext,
    "json": read_json,
    "resources": read_resources,
    "xliff": read_xliff,
}
