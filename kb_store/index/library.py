"""FAISS, untyped: the types that it brings describe only a part of it."""

from __future__ import annotations

import threading
from typing import Any

import faiss as _faiss

faiss: Any = _faiss

_threads = threading.local()


def use_one_thread() -> None:
    """One OpenMP thread for this thread's searches: more only get in each other's way under load."""
    if not getattr(_threads, "set", False):
        faiss.omp_set_num_threads(1)
        _threads.set = True
