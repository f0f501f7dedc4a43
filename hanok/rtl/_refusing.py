"""The base of components whose constructor may refuse a chip."""

from __future__ import annotations

from amaranth.lib import wiring


class RefusingComponent(wiring.Component):
    """Says nothing where it was not elaborated: Amaranth would warn of what a refusal left behind."""

    _MustUse__silence = True
