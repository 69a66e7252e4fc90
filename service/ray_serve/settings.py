"""The configuration of a replica that Ray starts. Knows nothing of Ray."""

from __future__ import annotations

import os
from pathlib import Path

from service.config import Settings, load


def replica_settings(replica: str) -> Settings:
    """The configuration of the environment, for one replica of many: on loopback, on a free port, without a page. With
    a database that all share, each has a folder of its own for its index; without one, there can only be one replica,
    since a folder of data has one server."""
    named = os.environ.get("INTERLEAF_CONFIG")
    config = Path(named) if named else None
    chosen = load(config)
    folder = chosen.store.data_dir
    return load(
        config,
        {
            "listen": {"host": "127.0.0.1", "port": 0, "health_port": None},
            "http": {"enabled": False},
            "metrics": {"port": None},
            "store": {"data_dir": folder if chosen.store.database_url is None else folder / replica},
        },
    )
