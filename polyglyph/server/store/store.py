"""The store as the rest of the server sees it: transactions on a database that is laid out as expected."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from polyglyph.contract.errors import StartupError, StorageError
from polyglyph.server.store.address import Address
from polyglyph.server.store.connections import BUSY_TIMEOUT_S, WRITING, make_engine
from polyglyph.server.store.faults import reason_of, storage_faults
from polyglyph.server.store.migrating import migrate
from polyglyph.server.store.tables import ORIGIN


class Store:
    """Transactions, each whole or not at all. Safe to use from several threads.

    Args:
        engine: Connections to a database that was migrated.
        address: Where it is.
        store_id: Its identity: a file or a database that takes its place is not written to.
    """

    def __init__(self, engine: Engine, *, address: Address, store_id: str) -> None:
        self._engine = engine
        self._address = address
        self._store_id = store_id
        self._inode = self._look()

    def __str__(self) -> str:
        """Write where the store is, without a password."""
        return str(self._address)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Read one consistent state, whatever others commit meanwhile.

        Raises:
            StorageError: The store cannot be read.
        """
        with storage_faults():
            self._check_file()
            with self._engine.connect() as connection:
                if self._address.file is None:
                    connection = connection.execution_options(  # noqa: PLW2901 - the same connection, set up
                        isolation_level="REPEATABLE READ", postgresql_readonly=True
                    )
                with connection.begin():
                    yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Change the store; an exception undoes everything.

        Raises:
            StorageError: The store cannot be written. When the connection was lost, the change may have been made.
        """
        with storage_faults():
            self._check_file()
            with self._engine.connect().execution_options(**WRITING) as connection, connection.begin():
                yield connection

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    def _look(self) -> int | None:
        return None if self._address.file is None else self._address.file.stat().st_ino

    def _check_file(self) -> None:
        # SQLite goes on writing to a file that was moved or deleted, where nobody would find it again.
        inode = self._look()
        if inode == self._inode:
            return
        self._engine.dispose()
        with self._engine.connect() as connection:
            found = connection.execute(select(ORIGIN.c.store_id)).scalar()
        if found != self._store_id:
            raise StorageError("another store was put in the place of the server's; put it back, or restart the server")
        self._inode = inode


def open_store(address: Address, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Store:
    """Open the store, made or brought up to date where needed.

    Args:
        address: Where it is.
        busy_timeout_s: How long SQLite waits for another writer.

    Raises:
        StartupError: It cannot be read, written or migrated, or is a newer Polyglyph's: what, where, what to do.
    """
    flag = "--data-dir" if address.file else "--store-url"
    try:
        if address.file is not None:
            address.file.parent.mkdir(parents=True, exist_ok=True)
        engine = make_engine(address, busy_timeout_s=busy_timeout_s)
        return Store(engine, address=address, store_id=migrate(engine))
    except ModuleNotFoundError as error:
        raise StartupError(
            f"--store-url: the package {error.name} is missing; install it with: pip install 'polyglyph[postgres]'"
        ) from error
    except StartupError as error:
        raise StartupError(f"the store {address} cannot be used: {error} ({flag})") from error
    except (SQLAlchemyError, OSError) as error:
        raise StartupError(
            f"the store {address} cannot be opened: {reason_of(error)}. "
            "Plans, policy and sums are kept there, so the server does not start without it: mend it (docs/store.md), "
            f"or name another with {flag}"
        ) from error
