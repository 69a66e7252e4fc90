"""Files that say who may do what: `NAME WHAT-IT-IS-KNOWN-BY GRANT...` a line.

Empty lines and lines that begin with # say nothing. A line without a grant is refused, as are unknown scopes and a
name that is there twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from service.access.grants import Grants
from service.config import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what that opens."""

    name: str
    grants: Grants


@dataclass(frozen=True, slots=True)
class Kind:
    """A file's setting, the form of what callers are known by, and what to do when nobody is in the file."""

    setting: str
    form: str  # in words, for messages
    pattern: re.Pattern[str]
    remedy: str


def read(path: Path, kind: Kind) -> dict[str, Caller]:
    """Callers by what they are known by; ConfigError when there are none."""
    callers = read_any(path, kind)
    if not callers:
        raise ConfigError(f"{kind.setting}: {path} {kind.remedy}")
    return callers


def read_any(path: Path, kind: Kind) -> dict[str, Caller]:
    """The same, and nobody where nobody is in the file; ConfigError with the line that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{kind.setting}: cannot read {path}: {error}") from None
    callers: dict[str, Caller] = {}
    names: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        where = f"{kind.setting}: line {number} of {path}"
        name, _, rest = content.partition(" ")
        known_by, *grants = rest.split() or [""]
        if NAME.fullmatch(name) is None or kind.pattern.fullmatch(known_by) is None:
            raise ConfigError(f"{where} is not `NAME {kind.form} GRANT...`")
        if name in names:
            raise ConfigError(f"{where} names {name} again")
        if known_by in callers:
            raise ConfigError(f"{where} is known by the same as {callers[known_by].name}")
        names.add(name)
        callers[known_by] = Caller(name, _grants(grants, where))
    return callers


def _grants(texts: list[str], where: str) -> Grants:
    if not texts:
        raise ConfigError(f"{where} grants nothing: add what may be done, such as `read,write@*`")
    try:
        return Grants.parse(texts)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
