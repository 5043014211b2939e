"""Runs untrusted programs in boxes: jobs to ``isolate-run batch``, typed results back.

``Batch`` is for threads, ``AsyncBatch`` for asyncio; jobs and results are the same for both.
"""

from .aio import AsyncBatch
from .batch import Batch
from .errors import BatchEnded, BatchError, JobNotDone, NoProgram, NotAResult
from .job import (
    BoxFile,
    Cached,
    Collect,
    Data,
    File,
    HostFile,
    Inline,
    Input,
    Job,
    Limits,
    Output,
    Pipe,
    Step,
    ToStdout,
)
from .result import (
    Collected,
    Content,
    Figures,
    JobResult,
    Outcome,
    Report,
    StepResult,
    Together,
    Verdict,
)

__all__ = [
    "AsyncBatch",
    "Batch",
    "BatchEnded",
    "BatchError",
    "BoxFile",
    "Cached",
    "Collect",
    "Collected",
    "Content",
    "Data",
    "Figures",
    "File",
    "HostFile",
    "Inline",
    "Input",
    "Job",
    "JobNotDone",
    "JobResult",
    "Limits",
    "NoProgram",
    "NotAResult",
    "Outcome",
    "Output",
    "Pipe",
    "Report",
    "Step",
    "StepResult",
    "ToStdout",
    "Together",
    "Verdict",
]
