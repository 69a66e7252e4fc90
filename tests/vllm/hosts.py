"""The engine's process with something changed, for tests: `python -m tests.vllm.hosts CHANGE FD`.

Three take a protection out: the tests of that protection must fail on them. `trusting` takes one out behind which
stands another. `in_place` computes as GPUs do. `counting` writes how often requests were preempted to the file that
$INTERLEAF_TEST_COUNT names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.vllm import core, host, plan, plugin, request_facts, row_ledger


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


def trusting() -> None:
    """Requests go to vLLM unchecked."""
    core.check = lambda *arguments: None


def in_place() -> None:
    """The fused norm writes into its arguments, as vLLM's kernel on GPUs does; its native form makes new tensors."""
    import vllm.kernels  # noqa: F401 - registers the norm's forms
    from vllm import ir

    norm = ir.ops.fused_add_rms_norm
    native = norm.impls["native"].impl_fn

    def write(self: Any, states: Any, residual: Any, *arguments: Any) -> Any:
        for argument, made in zip((states, residual), native(states, residual, *arguments), strict=True):
            argument.copy_(made)
        return states, residual

    type(norm.maybe_inplace).__call__ = write


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
    changes = (unsalted, unmasked, unchecked, trusting, in_place, counting)
    {change.__name__: change for change in changes}[sys.argv[1]]()
    host.main(int(sys.argv[2]))
