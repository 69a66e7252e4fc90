"""The engine's process with something changed, for tests: `python -m tests.vllm.hosts CHANGE FD`.

Three take a protection out: the tests of that protection must fail on them. `counting` writes how often requests
were preempted to the file that $INTERLEAF_TEST_COUNT names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.vllm import host, plan, plugin, request_facts, row_ledger


def unsalted() -> None:
    """The prefix cache knows texts only."""
    plugin.keyed_by_facts = lambda original: original


def unmasked() -> None:
    """A request sees whatever fills its group's tokens up."""
    original = plan.Planner._group

    def group(self: Any, members: Any, packed: Any) -> Any:
        made = original(self, members, packed)
        made.bias = made.bias.where(made.bias > request_facts.HIDDEN, 0.0)
        return made

    plan.Planner._group = group  # type: ignore[method-assign]


def unchecked() -> None:
    """Whatever row is named is taken to be there, far behind the last one."""

    def use(self: Any, names: Sequence[str]) -> list[row_ledger.Row]:
        return [self._rows.get(name, row_ledger.Row(10**9, 1, ())) for name in names]

    row_ledger.RowLedger.use = use  # type: ignore[method-assign]
    row_ledger.RowLedger.release = lambda self, rows: None  # type: ignore[method-assign]


def counting() -> None:
    """Counts preemptions."""
    from vllm.v1.core.sched.scheduler import Scheduler

    original, count, file = Scheduler._preempt_request, [0], Path(os.environ["INTERLEAF_TEST_COUNT"])

    def preempt(self: Any, *args: Any, **kwargs: Any) -> Any:
        count[0] += 1
        file.write_text(str(count[0]))
        return original(self, *args, **kwargs)

    Scheduler._preempt_request = preempt


if __name__ == "__main__":
    host.set_environment()
    {"unsalted": unsalted, "unmasked": unmasked, "unchecked": unchecked, "counting": counting}[sys.argv[1]]()
    host.main(int(sys.argv[2]))
