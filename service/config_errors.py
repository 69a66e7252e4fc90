"""What is wrong with a configuration, in sentences that name the key."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import ValidationError

ENV_PREFIX, DELIMITER = "INTERLEAF_", "__"


def sentences(error: ValidationError) -> str:
    """One for each key."""
    parts = []
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"])
        parts.append(f"{key}: {item['msg']}" if key else item["msg"])
    return "; ".join(parts)


def unknown_sections(environment: Mapping[str, str], sections: Collection[str]) -> list[str]:
    """Variables INTERLEAF_SECTION__KEY of sections that do not exist: misspelt, they would have no effect."""
    return sorted(
        name
        for name in environment
        if name.upper().startswith(ENV_PREFIX)
        and DELIMITER in name[len(ENV_PREFIX) :]
        and name[len(ENV_PREFIX) :].partition(DELIMITER)[0].lower() not in sections
    )


def not_json(error: ValueError, environment: Mapping[str, str]) -> str:
    """The reader tells only the section of a variable that it cannot read."""
    section = next((part for part in str(error).split('"')[1::2]), "")
    whole = f"{ENV_PREFIX}{section}".upper()
    named = sorted(
        name for name in environment if name.upper() == whole or name.upper().startswith(whole + DELIMITER)
    )
    return f'one of {", ".join(named)}: lists and tables are JSON in the environment, such as ["a"] or {{"a": 1}}'
