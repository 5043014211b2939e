"""What can go wrong besides the programs that are run: those have verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .result import JobResult


class BatchError(Exception):
    """The base of all of these."""


class NoProgram(BatchError):
    """isolate-run is not there, or cannot be executed."""


class BatchEnded(BatchError):
    """The batch process ended before this job had a result.

    The job may have been carried out; like one whose outcome is ``internal`` it is worth another try.
    """

    def __init__(self, code: int | None, stderr: str) -> None:
        """`code` is the exit code, or the negative signal; None while nobody knows it."""
        self.code = code
        self.stderr = stderr
        said = f": {stderr.strip()}" if stderr.strip() else ""
        super().__init__(f"isolate-run batch has ended with {code}{said}")


class NotAResult(BatchError):
    """A line of the batch process is no result that this package understands."""


class JobNotDone(BatchError):
    """A job was refused, cancelled, or the sandbox did not work: see ``result.outcome``."""

    def __init__(self, result: JobResult) -> None:
        self.result = result
        where = f" ({result.field})" if result.field else ""
        super().__init__(f"job {result.id}: {result.outcome.value}{where}: {result.reason or 'no reason was given'}")
