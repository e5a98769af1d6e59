"""Which files of the data directory were taken over: each content once, so that what was deleted stays deleted."""

from hashlib import sha256
from pathlib import Path

from sqlalchemy import Connection, insert, select

from polyglyph.server.store.tables import IMPORTED_FILES


def is_imported(connection: Connection, file: Path) -> bool:
    """Say whether a file of this name was taken over with the content that it has now."""
    where = (IMPORTED_FILES.c.file == _name(file), IMPORTED_FILES.c.sha256 == _digest(file))
    return connection.execute(select(IMPORTED_FILES.c.file).where(*where)).first() is not None


def note_import(connection: Connection, file: Path) -> None:
    """Note that a file was taken over with the content that it has now."""
    connection.execute(insert(IMPORTED_FILES).values(file=_name(file), sha256=_digest(file)))


def _name(file: Path) -> str:
    # Names of files may hold bytes that are no text.
    return ascii(file.name)


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()
