"""The type of the command line as tests call it."""

from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]
