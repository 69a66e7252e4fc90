"""What takes few passes or none does not wait for a study that takes many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
import torch

from circuits.interventions import Head, ablated
from circuits.lab import Lab, Passes
from circuits.probe import Probe
from engines.transformers_engine import TransformersEngine
from service.errors import TooBusy
from service.studies.kinds import Analysis, KnockoutAnalysis, RecallAnalysis
from service.studies.study import Study
from tests.unit.engines.tiny_models import byte_tokenizer, tiny_model

PATIENCE = 60.0
PROBE = Probe("Tom Berg is from", "Tom Berg", "Ulm")
ROW = [1, 2, 3]


@pytest.fixture
def study() -> Iterator[Study]:
    """One more may wait for the one that runs."""
    engine = TransformersEngine(tiny_model("llama"), byte_tokenizer())
    made = Study(engine, None, engine.model_digest, lambda: 0, 1)
    yield made
    made.close()
    engine.close()


def last_logits(lab: Lab) -> torch.Tensor:
    return lab.run([ROW])[0, -1]


class Long:
    """A study that silences a head and waits there until it is told to go on."""

    def __init__(self, study: Study) -> None:
        self.study, self.inside, self.go_on = study, threading.Event(), threading.Event()

    def work(self, lab: Lab) -> torch.Tensor:
        with ablated(lab.spec, [Head(0, 0)]):
            self.inside.set()
            assert self.go_on.wait(PATIENCE)
            return last_logits(lab)

    async def begin(self) -> asyncio.Task[torch.Tensor]:
        task = asyncio.create_task(self.study.run(self.work, Passes(1), polite=True))
        assert await asyncio.to_thread(self.inside.wait, PATIENCE)
        return task


@pytest.mark.parametrize("analysis", [KnockoutAnalysis(PROBE, 2), RecallAnalysis(PROBE)])
def test_what_a_study_refuses_is_found_while_another_one_runs(study: Study, analysis: Analysis) -> None:
    async def scenario() -> None:
        long, later = Long(study), Long(study)
        task = await long.begin()
        await asyncio.wait_for(study.check(analysis.check), PATIENCE)
        waiting = asyncio.create_task(study.run(later.work, Passes(1), polite=True))
        await asyncio.sleep(0)
        with pytest.raises(TooBusy):  # one that was begun now would fail when its turn came
            await study.check(analysis.check)
        long.go_on.set()
        later.go_on.set()
        await asyncio.gather(task, waiting)

    asyncio.run(scenario())


def test_a_check_beside_a_study_sees_the_model_as_it_is(study: Study) -> None:
    async def scenario() -> None:
        plain = await study.run(last_logits, Passes(1))
        long = Long(study)
        task = await long.begin()
        beside = await asyncio.wait_for(study.run(last_logits, Passes(1)), PATIENCE)
        long.go_on.set()
        assert torch.equal(beside, plain)
        assert not torch.equal(await task, plain)

    asyncio.run(scenario())
