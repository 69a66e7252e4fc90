"""docs/configuration.md, made from the settings: `python -m service.config_docs > docs/configuration.md`."""

from __future__ import annotations

import json
import sys
from typing import Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.config import DELIMITER, ENV_PREFIX, KIB, Settings

_INTRO = """\
# Configuration

<!-- Made by `python -m service.config_docs`. Edit the descriptions in service/config.py, service/config_operation.py
and service/limits.py. -->

Everything has a default: `interleaf serve` needs no configuration. Values are taken from, the first that has one:

1. options of the command (`interleaf serve --port 7500`),
2. the environment: `{prefix}SECTION{delimiter}KEY`, for example `{prefix}LISTEN{delimiter}PORT=7500`,
3. a TOML file: `interleaf serve --config interleaf.toml`, or named by `{prefix}CONFIG`,
4. the defaults below.

```toml
[listen]
port = 7500

[limits]
max_batch_facts = 500
```

Lists and tables are JSON in the environment: `{prefix}HTTP{delimiter}NAMES='["proxy.example"]'`.

An unknown key, or a value out of its range, stops the server with a sentence that names it.
`interleaf config show` prints the values in force; `--json` prints them for programs. Secrets are not shown.

Some variables stand outside of this tree: `INTERLEAF_CONFIG` names the TOML file where `--config` is not given,
`INTERLEAF_CACHE` says where prepared models live (default `~/.cache/interleaf`), and where the command line finds
a server is told in [client.md](client.md#command-line).
"""


def render() -> str:
    """The whole page."""
    parts = [_INTRO.format(prefix=ENV_PREFIX, delimiter=DELIMITER)]
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(_section(name, section))
    return "\n".join(parts)


def _section(name: str, section: type[BaseModel]) -> str:
    lines = [f"## [{name}]", "", " ".join((section.__doc__ or "").split()), ""]
    lines += ["| key | default | range | meaning |", "|---|---|---|---|"]
    for key, info in section.model_fields.items():
        lines.append(f"| `{key}` | {_default(info)} | {_range(info)} | {info.description} |")
    return "\n".join(lines) + "\n"


def _default(info: FieldInfo) -> str:
    value: Any = info.default
    if value is None:
        return "unset"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int) and value >= 1024 * KIB and value % (1024 * KIB) == 0:
        return f"`{value}` ({value // (1024 * KIB)} MiB)"
    if isinstance(value, int | float):
        return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
    return f'`"{value}"`'


def _range(info: FieldInfo) -> str:
    choices = getattr(info.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = []
    for item in info.metadata:
        match item:
            case Ge(ge=bound):
                bounds.append(f"≥ {bound}")
            case Gt(gt=bound):
                bounds.append(f"> {bound}")
            case Le(le=bound):
                bounds.append(f"≤ {bound}")
            case Lt(lt=bound):
                bounds.append(f"< {bound}")
    return ", ".join(bounds) or " "


if __name__ == "__main__":
    sys.stdout.write(render())
