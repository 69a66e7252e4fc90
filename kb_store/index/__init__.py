"""The vector index: a cache over SQL that is checked when it is loaded and rebuilt when in doubt."""

from kb_store.index.contract import KeptIndex
from kb_store.index.faiss_index import FaissIndex
from kb_store.index.partition import IndexSettings, Partition

__all__ = ["FaissIndex", "IndexSettings", "KeptIndex", "Partition"]
