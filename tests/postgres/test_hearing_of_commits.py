"""The thread that hears of other servers' commits, in a process with much else to do."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from kb_store.model import Content, Context, CreateFact
from kb_store.sql import open_store
from kb_store.sql.postgres_news import News

NS = "ns"
MOST_OF_SELECT = 1024


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """So many open files that whatever is opened now has a higher number than select() takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * MOST_OF_SELECT
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"a process may have {hard} open files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    with ExitStack() as undo:
        undo.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        while True:
            opened = os.open(os.devnull, os.O_RDONLY)
            undo.callback(os.close, opened)
            if opened >= MOST_OF_SELECT:
                break
        yield


def hears_of_another_server(url: str) -> bool:
    heard = threading.Event()
    with ExitStack() as undo:
        listening, writing = open_store(url), open_store(url)
        undo.callback(listening.close)
        undo.callback(writing.close)
        writing.create_namespace(NS, "", frozenset(), Context())
        listening.on_commit(heard.set)

        def write(subject: str) -> bool:
            heard.clear()
            writing.write([CreateFact(NS, Content(subject, "relation", "o"))], Context())
            return heard.wait(10)

        # Once more: what is heard first may be the look at the start.
        return write("Anna") and write("Ben")


@pytest.mark.usefixtures("many_descriptors")
def test_commits_are_heard_of_with_a_thousand_open_files(url: str) -> None:
    assert hears_of_another_server(url)


def test_an_unexpected_failure_does_not_end_the_hearing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listen, failed = News._listen, set()

    def fails_once(news: News, connection: psycopg.Connection[Any]) -> None:
        if news not in failed:
            failed.add(news)
            raise RuntimeError("nobody thought of it")
        listen(news, connection)

    monkeypatch.setattr(News, "_listen", fails_once)
    assert hears_of_another_server(url)
    assert failed
