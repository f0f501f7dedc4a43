"""What a user sees when something is wrong: one line and exit code 2; 70 where the fault is ours."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import typer

from hanok.errors import HanokError

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

EXIT_BAD_INPUT = 2
EXIT_OUR_BUG = 70
"""EX_SOFTWARE of sysexits.h."""
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
_MAX_MESSAGE = 2000


def guarded(command: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Wrap a command so that every failure ends in a short message and its exit code."""

    @functools.wraps(command)
    def wrapper(*args: _Parameters.args, **kwargs: _Parameters.kwargs) -> _Result:
        try:
            return command(*args, **kwargs)
        except typer.Exit:
            raise
        except HanokError as error:
            _complain(f"error: {error}")
            sys.exit(EXIT_BAD_INPUT)
        except MemoryError:
            _complain("error: this needs more memory than there is; use a smaller model or another machine")
            sys.exit(EXIT_BAD_INPUT)
        except KeyboardInterrupt:
            _complain("interrupted")
            sys.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BROKEN_PIPE)
        except Exception as error:
            if os.environ.get("HANOK_TRACEBACK"):
                raise
            _complain(
                f"internal error: {type(error).__name__}: {error}\n"
                "This is a fault of hanok, not of your input. Run again with HANOK_TRACEBACK=1 in the "
                "environment and report what it prints, with the command and the model if you can share it."
            )
            sys.exit(EXIT_OUR_BUG)

    return wrapper


def _complain(message: str) -> None:
    from hanok.report.text import clean

    lines = [clean(line) for line in message[:_MAX_MESSAGE].splitlines()]
    print("\n".join(line for line in lines if line), file=sys.stderr)
