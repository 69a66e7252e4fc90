"""The `interleaf` command. Imported only by the command itself: the client does without typer and rich."""

from __future__ import annotations

import sys

NEEDED = ("typer", "rich")


def main() -> None:
    """Entry point of the command."""
    try:
        from interleaf.cli._app import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in NEEDED:
            raise
        print(
            f"The interleaf command needs {package}, which is not installed: pip install 'interleaf[cli]'",
            file=sys.stderr,
        )
        sys.exit(1)
    run()
