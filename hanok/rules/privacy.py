"""The privacy statement: what a run with the network cut off has shown, and what it has not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hanok.rules._record import Line, Record, Rows, check
from hanok.rules.errors import RulesError

MAX_RUN_BYTES = 1 << 20


class PrivacyRun(Record):
    """What `hanok rules privacy` writes."""

    maker: Line
    version: Line
    chip: Line
    jobs: Annotated[Rows[Line], Field(min_length=1)]
    attempts: Rows[Line]
    """Events of Python that would leave the process; each was refused."""
    sockets: Annotated[int, Field(ge=0)]
    """Left open by any code, also native."""
    kernel: Line
    """Whether the kernel gave the process a network of its own, without interfaces."""
    network_isolated: bool

    @property
    def none_tried(self) -> bool:
        """Nothing tried to leave."""
        return not self.attempts and not self.sockets


def read_privacy_run(path: Path) -> PrivacyRun:
    """Return a run that was recorded; raises RulesError for a file that is none."""
    import json

    try:
        if not path.is_file() or path.stat().st_size > MAX_RUN_BYTES:
            raise RulesError(f"{path}: no file of at most {MAX_RUN_BYTES} bytes")
        content: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RulesError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise RulesError(f"{path}: not a record of `hanok rules privacy`")
    return check(PrivacyRun, content, str(path))


def privacy_statement(run: PrivacyRun, language: str) -> str:
    """Return what the run shows, in sentences that claim no more."""
    jobs = ", ".join(run.jobs)
    if language == "ko":
        return _korean(run, jobs)
    cut = (
        "in a network namespace of its own, without interfaces"
        if run.network_isolated
        else f"without isolation by the kernel ({run.kernel}), so that native code was only counted"
    )
    found = (
        "No use of the network and no start of another program was tried."
        if run.none_tried
        else f"Tried and refused: {', '.join(run.attempts) or 'none'}; sockets left open: {run.sockets}."
    )
    return (
        f"hanok {run.version} did these jobs on the chip '{run.chip}' with the network cut off, {cut}: "
        f"{jobs}. "
        f"{found} The jobs ended with their results. This shows these runs, not every run."
    )


def _korean(run: PrivacyRun, jobs: str) -> str:
    cut = (
        "인터페이스가 없는 별도의 네트워크 공간에서"
        if run.network_isolated
        else f"커널 격리 없이({run.kernel}; 네이티브 코드는 소켓 수만 확인)"
    )
    found = (
        "네트워크 사용이나 다른 프로그램 실행 시도는 없었습니다."
        if run.none_tried
        else f"시도되어 거부된 것: {', '.join(run.attempts) or '없음'}; 열린 채 남은 소켓 {run.sockets}개."
    )
    return (
        f"hanok {run.version}은(는) 네트워크를 끊고 {cut} 칩 '{run.chip}'에서 다음 작업을 하였습니다: "
        f"{jobs}. "
        f"{found} 작업은 결과를 내고 끝났습니다. 이는 해당 실행에 대한 것이며 모든 실행을 보증하지 않습니다."
    )
