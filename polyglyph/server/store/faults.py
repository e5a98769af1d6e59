"""What a database says is wrong, as errors that callers understand."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError

from polyglyph.contract.errors import StorageError, StorageUnavailableError


@contextmanager
def storage_faults() -> Iterator[None]:
    """Turn errors of the database and of its file into ours; what else is raised passes.

    Raises:
        StorageUnavailableError: The database cannot be reached, is locked or has no room: another try may do.
        StorageError: The database is damaged, or not laid out as expected.
    """
    try:
        yield
    except (OperationalError, InterfaceError, OSError) as error:
        raise StorageUnavailableError(
            f"the server's store cannot be used now ({reason_of(error)}); try again later"
        ) from error
    except SQLAlchemyError as error:
        raise StorageError(f"the server's store does not work ({reason_of(error)}); see the server's log") from error


def reason_of(error: Exception) -> str:
    """Give the first line of what the database or the system said."""
    said = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = said.strerror if isinstance(said, OSError) and said.strerror else str(said)
    return text.strip().partition("\n")[0][:200] or type(said).__name__
