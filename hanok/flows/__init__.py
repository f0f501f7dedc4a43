"""Where towers meet: a model or a program goes in, a result record comes out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hanok.flows.chips import chip_summary, preset_summaries
    from hanok.flows.compile_and_run import (
        RunResult,
        compile_model,
        compute_outputs,
        load_verified,
        run_program,
    )
    from hanok.flows.results import RunRecord, RunTraces

_LAZY = {
    "RunRecord": "results",
    "RunResult": "compile_and_run",
    "RunTraces": "results",
    "chip_summary": "chips",
    "compile_model": "compile_and_run",
    "compute_outputs": "compile_and_run",
    "load_verified": "compile_and_run",
    "preset_summaries": "chips",
    "run_program": "compile_and_run",
}
"""Name -> module; imported at first use, so that a command waits only for what it needs."""

__all__ = [
    "RunRecord",
    "RunResult",
    "RunTraces",
    "chip_summary",
    "compile_model",
    "compute_outputs",
    "load_verified",
    "preset_summaries",
    "run_program",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"hanok.flows.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'hanok.flows' has no attribute '{name}'")
