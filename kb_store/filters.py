"""The filter language of ListFacts and ExportFacts.

    subject = "Anna Keller" AND relation : "employ"

Fields: subject, relation, object, source, fact_id. Operators: `=` equal, `!=` different, `:` contains.
Values stand in double quotes, with `\\"` and `\\\\` for a quote and a backslash, or bare when they are one
word of letters, digits, `_`, `.` and `-`. Conditions are joined by AND. An empty filter is no condition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from kb_store.errors import InvalidInput, LimitExceeded
from kb_store.model import Condition, FilterOp, Limits
from kb_store.validation import check_text

FIELDS = ("subject", "relation", "object", "source", "fact_id")

_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(
    r"""(?P<op>!=|=|:)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<word>[\w.\-]+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int  # counted from 1; behind the end for the end itself


def _refuse(position: int, message: str) -> NoReturn:
    raise InvalidInput("filter", f"{message} at character {position}", position=position)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while True:
        skipped = _SPACE.match(text, at)
        at = skipped.end() if skipped else at
        if at == len(text):
            tokens.append(_Token("end", "", at + 1))
            return tokens
        found = _TOKEN.match(text, at)
        if found is None:
            _refuse(at + 1, "unclosed quote" if text[at] == '"' else f"unexpected {text[at]!r}")
        tokens.append(_Token(str(found.lastgroup), found.group(), at + 1))
        at = found.end()


def _value(token: _Token) -> str:
    if token.kind == "word":
        return token.text
    if token.kind != "quoted":
        _refuse(token.position, "expected a value in double quotes")

    def unescape(found: re.Match[str]) -> str:
        if found.group(1) not in '"\\':
            _refuse(token.position + found.start() + 1, f"unknown escape {found.group()!r}")
        return found.group(1)

    return _ESCAPE.sub(unescape, token.text[1:-1])


def parse_filter(text: str, limits: Limits | None = None) -> tuple[Condition, ...]:
    """The conditions of a filter; InvalidInput with the position of what cannot be read."""
    maximum = (limits or Limits()).max_filter_length
    if len(text) > maximum:
        raise LimitExceeded("filter", "max_filter_length", maximum, len(text))
    tokens = _tokens(text)
    conditions: list[Condition] = []
    at = 0
    if tokens[0].kind == "end":
        return ()
    while True:
        name, operator, value = (
            tokens[at],
            tokens[min(at + 1, len(tokens) - 1)],
            tokens[min(at + 2, len(tokens) - 1)],
        )
        if name.kind != "word" or name.text not in FIELDS:
            _refuse(name.position, f"expected a field ({', '.join(FIELDS)})")
        if operator.kind != "op":
            _refuse(operator.position, "expected =, != or :")
        checked = check_text("filter", _value(value), "max_filter_length", maximum)
        conditions.append(Condition(name.text, FilterOp(operator.text), checked))
        after = tokens[at + 3]
        if after.kind == "end":
            return tuple(conditions)
        if (after.kind, after.text) != ("word", "AND"):
            _refuse(after.position, "expected AND or the end")
        at += 4
