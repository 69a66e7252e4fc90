"""What makes a server one of several at a database: its name, the key they share, and the index it uses."""

from __future__ import annotations

from contextlib import ExitStack

from sqlalchemy import make_url

from kb_store.contract import Embedder, Store
from kb_store.errors import StoreError
from kb_store.index import FaissIndex, KeptIndex
from service.config import ConfigError, Settings
from service.datadir import DataDir
from service.page_tokens import PageTokens

_PAGES = "page-token"


class Replica:
    """This server, as others at the database see it."""

    def __init__(self, store: Store, data: DataDir, *, reads_outbox: bool) -> None:
        self.name = data.replica
        self._store, self._reads_outbox = store, reads_outbox

    def stay(self) -> None:
        """Says that it is there; to be said every few hours. Blocks."""
        self._store.join(self.name, reads_outbox=self._reads_outbox)


def join(settings: Settings, store: Store, data: DataDir) -> Replica:
    """Before the index is opened: from now on what it has to read is kept for it."""
    replica = Replica(store, data, reads_outbox=settings.retrieval.index == "faiss")
    replica.stay()
    return replica


def open_tokens(store: Store, data: DataDir) -> PageTokens:
    """A page that one server began another can go on with."""
    return PageTokens(store.shared_key(_PAGES, PageTokens.key_at(data.token_key)))


def open_index(settings: Settings, data: DataDir, embedder: Embedder, undo: ExitStack) -> KeptIndex:
    """The configured index; ConfigError when it cannot be had."""
    if settings.retrieval.index == "faiss":
        return FaissIndex(data.index, dimension=embedder.dimension, embedder=embedder.digest)
    url = settings.store.database_url
    if url is None or not url.get_secret_value().startswith("postgresql"):
        raise ConfigError("retrieval.index: pgvector needs store.database_url = postgresql://...")
    from kb_store.index.pgvector_index import PgVectorIndex

    try:
        index = PgVectorIndex(
            make_url(url.get_secret_value()), dimension=embedder.dimension, embedder=embedder.digest
        )
    except StoreError as error:
        raise ConfigError(f"retrieval.index: {error}") from None
    undo.callback(index.close)
    return index
