"""Edits of weights: computed and compared as long-running operations, applied, taken back, listed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from ulid import ULID

from editors.metrics.counterfact import EditCase
from editors.weights.errors import DeltaDamaged
from editors.weights.methods import check_layers, make_editor, named_method
from editors.weights.session import measured_settings
from kb_store.contract import Store
from kb_store.errors import AlreadyExists, NotFound
from kb_store.model import OperationRecord
from service.commands.encoding import Asked
from service.config import EditSettings
from service.edits.comparing import CompareJob
from service.edits.jobs import EditJob, Lab, LabModel, names_of
from service.edits.live import LiveEdits
from service.edits.shelf import AskedEdit, EditShelf, EditState, StoredEdit, case_values
from service.encoders.jobs import Progress
from service.encoders.process import run_in_process
from service.errors import EditAffectsOthers, EditWorkOff, EngineNotEditable, TooBusy
from service.operations import Operations
from service.workers import Workers

_RETRY_SECONDS = 30.0
_OTHERS = 1000  # namespaces that are looked at when it is asked whether there are others
CREATE, COMPARE = "create-edit", "compare-edits"


@dataclass(frozen=True, slots=True)
class SeenEdit:
    """A stored edit and where it stands."""

    stored: StoredEdit
    state: EditState
    problem: str = ""
    applied_time: str = ""
    live: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class EditWork:
    """A piece of work as its operation's metadata describes it. `edit_id` is empty for comparisons."""

    edit_id: str
    kind: str
    methods: tuple[str, ...]
    facts: int
    progress: Progress
    start_time: datetime


@dataclass(frozen=True)
class EditPacking:
    """Packs metadata and results; unpacks which edit and methods kept metadata is about."""

    work: Callable[[EditWork], bytes]
    subject: Callable[[bytes], tuple[str, tuple[str, ...]]]
    edit: Callable[[SeenEdit], bytes]
    comparison: Callable[[Mapping[str, Any]], bytes]


class Editing:
    """Belongs to one event loop. `live` and `model` are None where the engine's weights cannot be changed."""

    def __init__(
        self,
        live: LiveEdits | None,
        model: LabModel | None,
        shelf: EditShelf,
        settings: EditSettings,
        store: Store,
        operations: Operations,
        workers: Workers,
        packing: EditPacking,
    ) -> None:
        self._live, self._model, self._shelf, self._settings = live, model, shelf, settings
        self._store, self._operations, self._workers = store, operations, workers
        self._packing = packing
        self._busy: dict[str, str] = {}  # operation -> edit

    async def page(self, *, limit: int, after: str) -> tuple[tuple[SeenEdit, ...], str]:
        """A page in the order of their ids, and where the next one begins (empty: there is none)."""
        found = await self._workers.reads.run(self._shelf.list)
        rest = [item for item in found if item.edit_id > after]
        page = tuple(self._seen(item) for item in rest[:limit])
        return page, page[-1].stored.edit_id if len(rest) > limit else ""

    async def get(self, edit_id: str) -> SeenEdit:
        """One; NotFound."""
        return self._seen(await self._workers.reads.run(self._shelf.get, edit_id))

    async def receipt(self, edit_id: str) -> dict[str, Any]:
        """What it was measured to do; NotFound."""
        return await self._workers.reads.run(self._shelf.receipt, edit_id)

    async def create(self, edit_id: str, edit: AskedEdit, asked: Asked) -> OperationRecord:
        """Computes an edit. InvalidEdit and Unmeasured before anything is begun."""
        _, model = self._allowed()
        await self._workers.reads.run(self._store.get_namespace, edit.namespace)
        await self._workers.reads.run(_check_settings, model, edit)
        chosen = edit_id or f"{edit.method.replace('_', '-')}-{str(ULID()).lower()[-10:]}"

        async def work(note: Callable[[Progress], None]) -> bytes:
            folder = await self._workers.reads.run(self._shelf.begun, chosen)
            try:
                lab = await self._workers.reads.run(self._lab, model)
                await run_in_process(EditJob(str(folder), asdict(lab), asdict(edit)), note)
                kept = await self._workers.reads.run(self._shelf.kept, chosen)
            finally:
                await self._workers.reads.run(self._shelf.drop, chosen)
            return self._packing.edit(self._seen(kept))

        begun = EditWork(
            chosen, CREATE, (edit.method,), len(edit.cases), Progress("waiting"), datetime.now(UTC)
        )
        return await self._start(begun, edit_id, work, asked)

    async def compare(
        self,
        namespace: str,
        methods: Sequence[str],
        cases: Sequence[EditCase],
        asked: Asked,
        *,
        circuits: bool = False,
    ) -> OperationRecord:
        """Methods on the same facts, on the unedited model."""
        _, model = self._allowed()
        await self._workers.reads.run(self._store.get_namespace, namespace)
        lab = replace(await self._workers.reads.run(self._lab, model), applied=[])
        values = [case_values(case) for case in cases]
        job = CompareJob(asdict(lab), list(methods), values, model.encoder, model.calibration, circuits)

        async def work(note: Callable[[Progress], None]) -> bytes:
            return self._packing.comparison(await run_in_process(job, note))

        begun = EditWork("", COMPARE, tuple(methods), len(cases), Progress("waiting"), datetime.now(UTC))
        return await self._start(begun, "", work, asked)

    async def apply(
        self, edit_id: str, *, all_namespaces: bool, combine: bool, validate_only: bool
    ) -> SeenEdit:
        """Puts an edit into the served weights."""
        live, _ = self._allowed()
        found = await self.get(edit_id)
        if found.state is EditState.APPLIED or found.stored.asked is None:
            return self._whole(found)
        others = await self._workers.reads.run(self._others, found.stored.asked.namespace)
        if others and not (all_namespaces and self._settings.all_namespaces):
            raise EditAffectsOthers(edit_id, others, self._settings.all_namespaces)
        if not validate_only:
            await self._workers.waiting.run(live.apply, edit_id, combine=combine)
        return await self.get(edit_id)

    async def revert(self, edit_id: str) -> SeenEdit:
        """Takes it out of the served weights."""
        live, _ = self._allowed()
        await self._workers.waiting.run(live.revert, edit_id)
        try:
            return await self.get(edit_id)
        except NotFound:  # it was applied, and needed no files to be taken out
            return self._seen(StoredEdit(edit_id, self._shelf.folder_of(edit_id)))

    async def delete(self, edit_id: str) -> None:
        """Forgets one that is not applied."""
        live, _ = self._allowed()
        await self._workers.waiting.run(live.forget, edit_id)

    def _allowed(self) -> tuple[LiveEdits, LabModel]:
        if not self._settings.work:
            raise EditWorkOff
        if self._live is None or self._model is None:
            raise EngineNotEditable
        return self._live, self._model

    def _whole(self, found: SeenEdit) -> SeenEdit:
        if found.stored.asked is None:
            raise DeltaDamaged(f"edits/{found.stored.edit_id}: its files cannot be read")
        return found

    def _lab(self, model: LabModel) -> Lab:
        applied = self._live.applied.values() if self._live else ()
        folders = [(self._shelf.get(entry.edit_id).folder, entry.combine) for entry in applied]
        corpus = str(self._settings.corpus) if self._settings.corpus else ""
        tokens, statistics = self._settings.key_tokens, str(self._shelf.key_statistics)
        return Lab(model.name, model.dtype, names_of(folders), corpus, tokens, statistics)

    def _others(self, namespace: str) -> int:
        """How many other namespaces there are."""
        found = self._store.list_namespaces(limit=_OTHERS)
        return sum(item.namespace_id != namespace for item in found)

    def _seen(self, stored: StoredEdit) -> SeenEdit:
        if stored.asked is None:
            return SeenEdit(stored, EditState.DAMAGED, "its files cannot be read")
        entry = self._live.applied.get(stored.edit_id) if self._live else None
        if entry is not None:
            return SeenEdit(stored, EditState.APPLIED, "", entry.time, entry.live)
        why = self._live.not_restored.get(stored.edit_id) if self._live else None
        if why is not None:
            return SeenEdit(stored, EditState.NOT_RESTORED, why)
        return SeenEdit(stored, EditState.COMPUTED)

    async def _start(
        self,
        begun: EditWork,
        wanted_id: str,
        work: Callable[[Callable[[Progress], None]], Awaitable[bytes]],
        asked: Asked,
    ) -> OperationRecord:
        """The operation; the one that the request_id named before, if there is one."""

        async def noted(note: Callable[[bytes], None]) -> bytes:
            return await work(lambda progress: note(self._packing.work(replace(begun, progress=progress))))

        async def begin(operation_id: str) -> OperationRecord:
            if begun.edit_id:
                kept = await self._workers.reads.run(self._shelf.exists, begun.edit_id)
                # Nothing is waited for from here until it is taken: another request may ask for the same edit.
                if kept or begun.edit_id in self._busy.values():
                    raise AlreadyExists("edit", f"edits/{begun.edit_id}")
            metadata = self._packing.work(begun)
            if asked.validate_only:
                return OperationRecord("", begun.kind, True, metadata)
            if len(self._busy) >= self._settings.jobs:
                raise TooBusy("pieces of work on edits run (edits.jobs)", self._settings.jobs, _RETRY_SECONDS)
            self._busy[operation_id] = begun.edit_id

            def free() -> None:
                self._busy.pop(operation_id, None)

            return await self._operations.start(operation_id, begun.kind, metadata, noted, free)

        def same(metadata: bytes) -> bool:
            edit_id, methods = self._packing.subject(metadata)
            return methods == begun.methods and wanted_id in ("", edit_id)

        return await self._operations.once(begun.kind, asked.request_id, begin, same)


def _check_settings(model: LabModel, edit: AskedEdit) -> None:
    """InvalidEdit, Unmeasured."""
    method, fixed = named_method(edit.method)
    settings = measured_settings(model.digest, method, {**edit.settings, **fixed})
    check_layers(make_editor(method, settings), model.layers)
