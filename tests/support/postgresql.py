"""A real PostgreSQL server for tests, which can be stopped and started again."""

import shutil
import tempfile
import uuid
import warnings
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
        self._server = pgserver.get_server(self._folder, cleanup_mode="stop")

    def new_database(self) -> SecretStr:
        """Make an empty database and give its URL."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return SecretStr(self._server.get_uri(database=name).replace("postgresql:", "postgresql+psycopg:"))

    def stop(self) -> None:
        """Cut every connection, as a crash does."""
        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=self._folder, user=self._server.system_user)

    def start(self) -> None:
        """Start again with the same data."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Stop for good."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
