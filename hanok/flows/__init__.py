"""Where towers meet: a model or a program goes in, a result record comes out."""

from hanok.flows.chips import chip_summary, preset_summaries
from hanok.flows.compile_and_run import RunResult, compile_model, load_verified, run_program
from hanok.flows.results import RunRecord, RunTraces

__all__ = [
    "RunRecord",
    "RunResult",
    "RunTraces",
    "chip_summary",
    "compile_model",
    "load_verified",
    "preset_summaries",
    "run_program",
]
