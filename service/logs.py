"""Logging: one format for ours and for what libraries say, to standard error."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from service.config import LogSettings

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def _for_people() -> tuple[list[Any], Any]:
    # The usual formatter of errors shows local variables: facts, prompts and keys.
    return [], structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _for_programs() -> tuple[list[Any], Any]:
    return [structlog.processors.format_exc_info], structlog.processors.JSONRenderer()


def configure(settings: LogSettings) -> None:
    """Sets logging up for this process; called once, by the command that serves."""
    level = getattr(logging, settings.level.upper())
    people = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    before, renderer = _for_people() if people else _for_programs()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *before, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for ours in ("interleaf", "service", "kb_store", "engines", "editors"):
        logging.getLogger(ours).setLevel(level)
