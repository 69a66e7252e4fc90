"""`python -O` takes assertions away: the server and the client do without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCENE = """
import asyncio, sys
from pathlib import Path

assert False, "this is not an optimised run"

from interleaf import Client, ConflictingFact
from service import logs
from service.config import load
from service.server import Server


def talk(address):
    with Client(address) as client:
        fact = client.add("Anna Keller", "employer", "Nordlicht Werft")
        client.correct(fact, "Hafenwerk")
        try:
            client.add("Anna Keller", "employer", "Oslo")
        except ConflictingFact:
            print("refused")
        print([hit.fact.object for hit in client.search("employer of Anna Keller")])
        client.rollback(fact, 1)
        print(client.get(fact).object)


async def main():
    sections = {
        "listen": {"port": 0},
        "http": {"enabled": False},
        "engine": {"kind": "none"},
        "store": {"data_dir": Path(sys.argv[1])},
        "log": {"level": "error"},
    }
    settings = load(None, sections)
    logs.configure(settings.log)
    server = Server(settings)
    await asyncio.to_thread(talk, await server.start())
    await server.stop()

asyncio.run(main())
"""


def test_writing_reading_refusing_and_rolling_back(tmp_path: Path) -> None:
    command = [sys.executable, "-O", "-c", SCENE, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["refused", "['Hafenwerk']", "Nordlicht Werft"]
