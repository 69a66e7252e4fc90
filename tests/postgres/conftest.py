from collections.abc import Iterator

import pytest

from tests.postgres_server import PostgresServer
from tests.postgres_server import postgres_server as postgres_server


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty database."""
    with postgres_server.schema() as url:
        yield url
