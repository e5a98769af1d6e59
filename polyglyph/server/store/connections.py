"""Connections to the store: how SQLite and PostgreSQL are set up, and how transactions begin."""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from polyglyph.server.store.address import Address

BEGIN = "polyglyph_begin"
"""Execution option of a connection to SQLite: the statement that begins its transactions, empty for none."""
WRITING = {BEGIN: "BEGIN IMMEDIATE"}
"""A transaction that reads first and writes later could not wait for another writer: SQLite would refuse it."""
BUSY_TIMEOUT_S = 5.0
POSTGRESQL_DEFAULTS = {
    "connect_timeout": "5",
    "tcp_user_timeout": "10000",
    "application_name": "polyglyph",
    "options": "-c lock_timeout=5s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s",
}
"""So that a database that is gone or stuck is an error within seconds; the URL's own parameters win."""


def make_engine(address: Address, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Give SQLAlchemy's engine for an address; nothing is connected yet.

    Args:
        address: Where the store is.
        busy_timeout_s: How long SQLite waits for another writer.
    """
    if address.file is None:
        wanted = {name: value for name, value in POSTGRESQL_DEFAULTS.items() if name not in address.url.query}
        return create_engine(address.url, connect_args=wanted, pool_pre_ping=True)
    engine = create_engine(address.url, connect_args={"timeout": busy_timeout_s})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: object) -> None:
    del record
    # Python's module would otherwise begin transactions by itself, and never for a reader or for DDL.
    connection.isolation_level = None
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON", f"journal_size_limit = {64 << 20}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    statement = connection.get_execution_options().get(BEGIN, "BEGIN")
    if statement:
        connection.exec_driver_sql(statement)
