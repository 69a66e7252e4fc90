"""The process in which the server has work on encoders done: `python -m service.encoders.worker`.

The first line of standard input is the job. It stays open for as long as the work is wanted: when it is closed,
by a cancellation or because the server is gone, the work stops; and if it does not within the grace time, the
process ends all the same (whatever it writes, it writes atomically). Lines of standard output are JSON:
`{"progress": ...}`, and at last `{"result": ...}`, `{"refused": ...}` or `{"stopped": true}`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from service.encoders.jobs import Progress, Stopped
from service.job_kinds import from_json

GRACE_SECONDS = 10.0
REFUSED, STOPPED_LATE = 2, 3
_PIECE = 4096
_NICE = 10  # the server answers questions meanwhile

Send = Callable[[dict[str, Any]], None]


def main() -> int:
    """Does one job; 0 when it was done, or stopped in time."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what libraries print is no message
        os.nice(_NICE)
        line = sys.stdin.readline()
        cancelled = threading.Event()
        threading.Thread(target=_watch, args=(cancelled,), daemon=True).start()

        def send(message: dict[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        return _work(line, send, cancelled.is_set)


def _work(line: str, send: Send, cancelled: Callable[[], bool]) -> int:
    from editors.kv.trained import EncoderMismatch
    from editors.weights.errors import EditError
    from engines.errors import EngineError
    from kb_store.errors import StoreError
    from service.config import ConfigError

    def note(progress: Progress) -> None:
        send({"progress": asdict(progress)})

    try:
        result = from_json(line).run(note, cancelled)
    except Stopped:
        send({"stopped": True})
        return 0
    except (ConfigError, EditError, EncoderMismatch, EngineError, StoreError) as error:
        send({"refused": str(error)})
        return REFUSED
    send({"result": result})
    return 0


def _watch(cancelled: threading.Event) -> None:
    # Not through sys.stdin: at the end of the process its lock would still be held here.
    while os.read(0, _PIECE):
        pass
    cancelled.set()
    threading.Event().wait(GRACE_SECONDS)
    os._exit(STOPPED_LATE)


if __name__ == "__main__":
    sys.exit(main())
