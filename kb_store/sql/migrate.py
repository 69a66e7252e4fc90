"""Brings a database to a schema version, forwards or back."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, text

from kb_store.errors import StoreError

# The version this code works with; a test compares it with the newest file in migrations/versions.
HEAD = "0006"
_VERSION_TABLE = "alembic_version"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    # ConfigParser would read a percent sign in the path as an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def newest_version() -> str | None:
    """The newest version among the migration files."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def current_version(connection: Connection) -> str | None:
    """The database's version; None when it is empty."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def migrate(engine: Engine, version: str = HEAD) -> None:
    """Upgrades or downgrades to `version` ("base" empties the database), all in one transaction."""
    with engine.begin() as connection:
        now = current_version(connection)
        if now == version:
            return
        config = _config(connection)
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if now is not None and now not in known:
            raise StoreError(
                f"the database has schema version {now!r}, which this program does not know: it was made by a "
                "newer version of Interleaf",
                version=now,
            )
        order = sorted(known)
        backwards = version == "base" or (now is not None and order.index(now) > order.index(version))
        try:
            (command.downgrade if backwards else command.upgrade)(config, version)
        except CommandError as error:
            raise StoreError(f"migration to {version!r} failed: {error}", version=version) from error
