"""Where the store is: a file of the data directory, or a PostgreSQL database."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from polyglyph.contract.errors import StartupError

FILE_NAME = "polyglyph.sqlite3"
DRIVER = "postgresql+psycopg"
SCHEMES = ("postgresql", "postgres", DRIVER)


@dataclass(frozen=True)
class Address:
    """Where the store is.

    Attributes:
        url: What SQLAlchemy opens.
        file: The SQLite file, or None for PostgreSQL.
    """

    url: URL
    file: Path | None = None

    def __str__(self) -> str:
        """Write the address for people, without the password."""
        return str(self.file) if self.file else self.url.render_as_string(hide_password=True)


def address_of(*, data_dir: Path, store_url: SecretStr | None) -> Address:
    """Give the address of a server's store.

    Args:
        data_dir: Folder of the SQLite file.
        store_url: PostgreSQL's URL; it wins.

    Raises:
        StartupError: The URL is none of PostgreSQL's; its text holds no password.
    """
    if store_url is None:
        file = data_dir / FILE_NAME
        return Address(URL.create("sqlite+pysqlite", database=str(file)), file)
    try:
        url = make_url(store_url.get_secret_value())
    except (ArgumentError, ValueError) as error:
        raise StartupError(f"--store-url: no URL; expected {DRIVER}://USER:PASSWORD@HOST:PORT/DATABASE") from error
    if url.drivername not in SCHEMES:
        raise StartupError(f"--store-url: expected {DRIVER}://..., got {url.drivername}://...")
    return Address(url.set(drivername=DRIVER))
