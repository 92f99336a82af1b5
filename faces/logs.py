"""The processes' logs: lines for people, or one JSON object a line for machines, with the ids that run through."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import StrEnum
from typing import TextIO

from faces.settings import Setting, one_of

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered, or made; a job's is that of the request that sent it. Empty: none."""

JOB: ContextVar[str] = ContextVar("job", default="")
JOB_ID: ContextVar[str] = ContextVar("job_id", default="")
"""The job that runs, and its row's id; empty: none does."""

IDS = ("request_id", "event_id", "event_ids", "job", "job_id")


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


LOG_FORMAT = Setting(
    "LOG_FORMAT",
    "text",
    "`text` for people, or `json`: one object a line, with request and event ids",
    one_of(LogFormat),
)


def set_up(process: str, form: LogFormat) -> None:
    """Have everything that is logged from now on written to standard error, in one of the two forms."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    handler = next((known for known in root.handlers if isinstance(known, Lines)), None)
    if handler is None:
        root.addHandler(handler := Lines())
    line = f"%(asctime)s %(levelname)s {process}: %(message)s"
    handler.setFormatter(JsonLines(process) if form is LogFormat.JSON else logging.Formatter(line))


class Lines(logging.StreamHandler[TextIO]):
    """Standard error, with the ids of the request and the job that it is about."""

    def emit(self, record: logging.LogRecord) -> None:
        for known in (REQUEST_ID, JOB, JOB_ID):
            if not hasattr(record, known.name) and (told := known.get()):
                setattr(record, known.name, told)
        super().emit(record)


class JsonLines(logging.Formatter):
    """A record as `{"at", "level", "process", "logger", "message"}`, with those of the ids that it bears, and `error`
    with the traceback."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: getattr(record, name) for name in IDS if hasattr(record, name)},
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)
