"""What became of a job: ``docs/result.schema.json`` and ``docs/report.schema.json`` as types.

Keys that a newer isolate-run adds are in ``raw``.
"""

from __future__ import annotations

import base64
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as option
from typing import Any

from .errors import JobNotDone, NotAResult

FORMAT = 1


class Outcome(enum.Enum):
    """What became of a job as a whole. INTERNAL says nothing about any program, and is worth another try."""

    DONE = "done"
    REFUSED = "refused"
    INTERNAL = "internal"
    CANCELLED = "cancelled"


class Verdict(enum.Enum):
    """The first cause of a program's end."""

    OK = "ok"
    NOT_STARTED = "not_started"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    INTERRUPTED = "interrupted"
    CPU_TIME_LIMIT = "cpu_time_limit"
    WALL_TIME_LIMIT = "wall_time_limit"
    OUTPUT_LIMIT = "output_limit"
    MEMORY_LIMIT = "memory_limit"
    MEMORY_AND_TIME_LIMIT = "memory_and_time_limit"
    INTERNAL_ERROR = "internal_error"


def _bytes(value: dict[str, Any]) -> bytes | None:
    if "text" in value:
        return str(value["text"]).encode()
    return base64.b64decode(value["base64"]) if "base64" in value else None


@dataclass(frozen=True)
class Content:
    """What a program wrote."""

    data: bytes
    truncated: bool = False

    @property
    def text(self) -> str:
        """The same as text, with U+FFFD for what is no UTF-8."""
        return self.data.decode(errors="replace")

    @classmethod
    def of(cls, value: dict[str, Any]) -> Content:
        return cls(_bytes(value) or b"", value.get("truncated", False))


@dataclass(frozen=True)
class Collected:
    """A file that was taken out of the box, or why it was not (`error`)."""

    name: str
    data: bytes | None = None
    size: int | None = None
    path: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, value: dict[str, Any]) -> Collected:
        return cls(value["name"], _bytes(value), value.get("size"), value.get("path"), value.get("error"))


@dataclass(frozen=True)
class Figures:
    """What a program and all its processes used. Times are seconds, memory is bytes."""

    cpu_time: float
    cpu_user: float
    cpu_system: float
    wall_time: float
    memory_peak: int | None
    max_rss: int | None
    processes_peak: int | None
    processes_refused: int | None
    oom_kills: int | None

    @classmethod
    def of(cls, value: dict[str, Any]) -> Figures:
        return cls(
            cpu_time=value["cpu_time_us"] / 1e6,
            cpu_user=value["cpu_user_us"] / 1e6,
            cpu_system=value["cpu_system_us"] / 1e6,
            wall_time=value["wall_time_us"] / 1e6,
            memory_peak=value.get("memory_peak_bytes"),
            max_rss=value.get("max_rss_bytes"),
            processes_peak=value.get("processes_peak"),
            processes_refused=value.get("processes_refused"),
            oom_kills=value.get("oom_kills"),
        )


@dataclass(frozen=True)
class Report:
    """How a run ended. `status` and `message` are those of isolate's meta file."""

    verdict: Verdict
    killed: bool
    status: str | None
    message: str | None
    reason: str | None
    exit_code: int | None
    signal: int | None
    figures: Figures | None
    raw: dict[str, Any] = option(repr=False)

    @property
    def ok(self) -> bool:
        return self.verdict is Verdict.OK

    @classmethod
    def of(cls, value: dict[str, Any]) -> Report:
        return cls(
            verdict=Verdict(value["verdict"]),
            killed=value["killed"],
            status=value.get("status"),
            message=value.get("message"),
            reason=value.get("reason"),
            exit_code=value.get("exit_code"),
            signal=value.get("signal"),
            figures=Figures.of(value["figures"]) if "figures" in value else None,
            raw=value,
        )


@dataclass(frozen=True)
class StepResult:
    """What became of a step. Without a run there is no report: it was left out (`skipped`), or the job ended before."""

    name: str
    report: Report | None
    stdout: Content | None
    stderr: Content | None
    collected: Sequence[Collected]
    skipped: bool
    repetition: int | None

    @property
    def ok(self) -> bool:
        return self.report is not None and self.report.ok

    @classmethod
    def of(cls, value: dict[str, Any]) -> StepResult:
        return cls(
            name=value["name"],
            report=Report.of(value["report"]) if "report" in value else None,
            stdout=Content.of(value["stdout"]) if "stdout" in value else None,
            stderr=Content.of(value["stderr"]) if "stderr" in value else None,
            collected=tuple(map(Collected.of, value.get("collected", ()))),
            skipped=value.get("skipped", False),
            repetition=value.get("repetition"),
        )


@dataclass(frozen=True)
class Together:
    """Of steps that ran at the same time: who failed first, or that all waited for each other."""

    steps: Sequence[str]
    deadlock: bool
    cause: str | None = None
    waited: Sequence[str] = ()

    @classmethod
    def of(cls, value: dict[str, Any]) -> Together:
        return cls(tuple(value["steps"]), value["deadlock"], value.get("cause"), tuple(value.get("waited", ())))


@dataclass(frozen=True)
class JobResult:
    """What became of a job."""

    id: str | None
    outcome: Outcome
    steps: Sequence[StepResult]
    together: Sequence[Together]
    reason: str | None
    field: str | None
    line: int | None
    raw: dict[str, Any] = option(repr=False)

    @property
    def done(self) -> bool:
        """Whether every step was carried out or left out; what became of the programs is in the reports."""
        return self.outcome is Outcome.DONE

    @property
    def ok(self) -> bool:
        """Whether it is done and every program ended well."""
        return self.done and all(step.ok for step in self.steps)

    def step(self, name: str) -> StepResult:
        """The step of this name; the last repetition of one that was repeated. KeyError if there is none."""
        for step in reversed(self.steps):
            if step.name == name:
                return step
        raise KeyError(name)

    def require_done(self) -> JobResult:
        """Itself, or JobNotDone."""
        if not self.done:
            raise JobNotDone(self)
        return self

    @classmethod
    def of(cls, value: dict[str, Any]) -> JobResult:
        """Reads a line of `isolate-run batch`; NotAResult if it is none of this format."""
        if value.get("format") != FORMAT:
            raise NotAResult(f"the format of this result is {value.get('format')!r}, and not {FORMAT}")
        try:
            return cls(
                id=value["id"],
                outcome=Outcome(value["outcome"]),
                steps=tuple(map(StepResult.of, value.get("steps", ()))),
                together=tuple(map(Together.of, value.get("together", ()))),
                reason=value.get("reason"),
                field=value.get("field"),
                line=value.get("line"),
                raw=value,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NotAResult(f"the result {value.get('id')!r} cannot be read: {error!r}") from error

    @classmethod
    def cancelled(cls, id: str) -> JobResult:
        """Of a job that was cancelled before it was sent."""
        raw = {"format": FORMAT, "id": id, "outcome": "cancelled", "reason": "it had not been sent yet"}
        return cls.of(raw)
