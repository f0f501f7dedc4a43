"""What the HTML pages share: templates out of the package, filters for numbers, data that stays data."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from hanok.report import text as _format
from hanok.units import readable_bytes

MAX_NAME = 400
"""Letters of a name or sentence from outside."""


def template_text(name: str) -> str:
    """Return a file of the templates folder."""
    return (resources.files("hanok.report") / "templates" / name).read_text("utf-8")


@cache
def environment() -> Any:
    """Return the Jinja environment: what is not marked safe is escaped, what is not there is an error."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clean=lambda text: _format.clean(str(text))[:MAX_NAME],
        whole=lambda text: _format.clean(str(text)),
        count=_format.count,
        significant=_format.significant,
        scaled=_format.scaled,
        milliseconds=lambda value: _format.milliseconds(value).replace(" us", " µs"),
        energy=lambda value: _format.energy(value).replace(" uJ", " µJ"),
        percent=_format.percent,
        bytes=readable_bytes,
    )
    return environment


def script_json(content: Any) -> str:
    """Return JSON that cannot end the script element that holds it."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
