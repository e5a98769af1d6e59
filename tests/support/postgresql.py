"""A real PostgreSQL server for tests, which can be stopped and started again."""

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from pydantic import SecretStr

with warnings.catch_warnings():
    # platformdirs warns where there is no user session, as on CI.
    warnings.simplefilter("ignore")
    import pgserver
    from pgserver._commands import pg_ctl


class PostgresqlServer:
    """A server with an empty data folder, listening on a socket of its own."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._server = pgserver.get_server(self._folder, cleanup_mode=None)
        # The processes are killed in these tests, never the machine.
        self._execute("ALTER SYSTEM SET fsync = off")
        self._execute("SELECT pg_reload_conf()")

    def new_database(self) -> SecretStr:
        """Make an empty database and give its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self._execute(f'CREATE DATABASE "{name}"')
        return SecretStr(self._server.get_uri(database=name).replace("postgresql:", "postgresql+psycopg:"))

    @contextmanager
    def down(self) -> Iterator[None]:
        """Cut every connection, as a crash does, and start again at the end with the same data."""
        self._stop()
        try:
            yield
        finally:
            self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop for good."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _stop(self) -> None:
        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=self._folder, user=self._server.system_user)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)
