"""Chips that the gates refuse leave an error, and no warning of Amaranth's behind it."""

import gc

import pytest
from amaranth.hdl import Fragment, Module

from hanok.errors import ChipError
from hanok.machine import Chip
from hanok.rtl.core import Core


@pytest.mark.parametrize("name", ["hbm2-128", "server"])
def test_a_refused_core_is_forgotten_in_silence(name: str) -> None:
    Fragment.get(Module(), None)  # Amaranth warns from its first design on
    with pytest.raises(ChipError, match="allowed in gates"):
        Core(Chip.load(name))
    gc.collect()
