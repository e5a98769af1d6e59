"""Brings the store's layout up to date at start; servers that start together take turns."""

import sqlite3
import time
import uuid
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, insert, inspect, select, text, update
from sqlalchemy.exc import OperationalError

from polyglyph import __version__
from polyglyph.contract.errors import StartupError
from polyglyph.server.store.connections import BEGIN, BUSY_TIMEOUT_S, WRITING
from polyglyph.server.store.tables import ORIGIN

ADVISORY_LOCK = 0x706F6C79
"""PostgreSQL's lock of whoever migrates ("poly"), held to the end of the transaction."""
MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> str:
    """Bring the layout up to date, in one transaction that other servers wait for.

    Returns:
        The store's identity, made when the store was.

    Raises:
        StartupError: The store was written by a newer Polyglyph; the text has both versions.
        SQLAlchemyError: The database cannot be read or written.
    """
    if engine.dialect.name == "sqlite":
        _use_wal(engine)
    with engine.connect().execution_options(**WRITING) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            # Another server's migration may take longer than a usual lock.
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
        return _upgrade(connection)


def _upgrade(connection: Connection) -> str:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    found, newest = MigrationContext.configure(connection).get_current_revision(), scripts.get_current_head()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise StartupError(
            f"it was written by Polyglyph {_version_of(connection)} (layout {found}), and this is Polyglyph "
            f"{__version__} (layout {newest}); start that version or a newer one, or use another store"
        )
    if found != newest:
        _run(connection, config, scripts)
        _sign(connection)
    return str(connection.execute(select(ORIGIN.c.store_id)).scalar_one())


def _run(connection: Connection, config: Config, scripts: ScriptDirectory) -> None:
    with EnvironmentContext(
        config,
        scripts,
        fn=lambda found, _: scripts._upgrade_revs("head", found),  # noqa: SLF001 - as alembic.command does
    ) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def _sign(connection: Connection) -> None:
    signed = connection.execute(update(ORIGIN).values(polyglyph=__version__)).rowcount
    if not signed:
        connection.execute(insert(ORIGIN).values(id=1, store_id=uuid.uuid4().hex, polyglyph=__version__))


def _version_of(connection: Connection) -> str:
    if not inspect(connection).has_table(ORIGIN.name):
        return "of an unknown version"
    return str(connection.execute(select(ORIGIN.c.polyglyph)).scalar())


def _use_wal(engine: Engine) -> None:
    # SQLite does not wait for others before it changes the mode, so waiting is ours.
    end = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            with engine.connect().execution_options(**{BEGIN: ""}) as connection:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                return
        except OperationalError as error:
            if getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.05)
