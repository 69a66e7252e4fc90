"""What a look at an installation found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engines.errors import EngineError
from kb_store.errors import StoreError
from service.config import ConfigError


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `problem` is a sentence, empty when all is well, and `hint` says what helps."""

    name: str
    value: str
    problem: str = ""
    hint: str = ""


def checked(name: str, look: Callable[[], str]) -> Finding:
    """What `look` returns, or the error that it ends with."""
    try:
        return Finding(name, look())
    except (ConfigError, EngineError, StoreError, OSError, ValueError) as error:
        return Finding(name, "", str(error))
