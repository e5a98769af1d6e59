"""Documents on disk: written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from polyglyph.contract.errors import StorageError


def write_document(path: Path, document: Any) -> None:
    """Write JSON to a file so that a crash leaves the old content or the new one, never half of it.

    Raises:
        StorageError: The folder cannot be made or written; the text names it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, json.dumps(document, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise _unwritable(error) from error


def remove_document(path: Path) -> None:
    """Delete a file; one that is gone already is no fault.

    Raises:
        StorageError: The folder cannot be written.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(error) from error


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unwritable(error: OSError) -> StorageError:
    return StorageError(
        f"the server cannot write its data directory ({error.strerror or error}); start it with another --data-dir"
    )
