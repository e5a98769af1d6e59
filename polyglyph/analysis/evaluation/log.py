"""Logs of a run: a line for each row, written when it came, so that a run that was cut off goes on."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from polyglyph.analysis.evaluation.errors import RunFolderError
from polyglyph.analysis.evaluation.job import Key
from polyglyph.clients.errors import UnwritableFileError

ANSWERS, VERDICTS = "answers.jsonl", "verdicts.jsonl"
SYNC_S = 1.0
"""How often the file is forced to the disk; a process that is killed loses nothing, a machine that loses power this."""


class Row(Protocol):
    """A dataclass about one answer."""

    @property
    def item(self) -> str:
        """Id of the item."""

    @property
    def arm(self) -> str:
        """Name of the arm."""

    @property
    def sample(self) -> int:
        """Which of the arm's samples."""


RowT = TypeVar("RowT", bound=Row)


class Log(Generic[RowT]):
    """A log that one run writes; no other run can meanwhile.

    Args:
        path: The file; made if absent. A line that was left half written is cut off.
        kind: Of the rows.

    Attributes:
        done: Item, arm and sample of every row in it.

    Raises:
        RunFolderError: It is damaged, or another run is writing it.
        UnwritableFileError: It cannot be written.
    """

    def __init__(self, path: Path, kind: type[RowT]) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error
        self._synced_at = time.monotonic()
        try:
            self._lock()
            os.ftruncate(self._descriptor, _whole_bytes(path))
            self.done = {key_of(row) for row in read_log(path, kind)}
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, row: RowT) -> None:
        """Write down one row; it is in the system's hands when this returns.

        Raises:
            UnwritableFileError: It cannot be written.
        """
        data = json.dumps(asdict(row), ensure_ascii=False).encode() + b"\n"  # type: ignore[call-overload]
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if time.monotonic() - self._synced_at >= SYNC_S:
                os.fsync(self._descriptor)
                self._synced_at = time.monotonic()
        except OSError as error:
            raise UnwritableFileError(f"{self._path} cannot be written: {error.strerror or error}") from error
        self.done.add(key_of(row))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunFolderError(f"{self._path}: another run is writing here; name another folder") from error


def read_log(path: Path, kind: type[RowT]) -> Iterator[RowT]:
    """Give the rows of a log, each once.

    Raises:
        RunFolderError: A line is damaged, or an answer is there twice; the text names the line.
    """
    adapter = TypeAdapter(kind)
    seen: set[Key] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = adapter.validate_json(line)
            except ValidationError as error:
                raise RunFolderError(f"{path}, line {number}: damaged; begin anew in another folder") from error
            if key_of(row) in seen:
                raise RunFolderError(f"{path}, line {number}: {' / '.join(map(str, key_of(row)))} is there twice")
            seen.add(key_of(row))
            yield row


def key_of(row: Row) -> Key:
    """Give what tells a row from all others of its log."""
    return row.item, row.arm, row.sample


def _whole_bytes(path: Path) -> int:
    """Give how many bytes there are up to the last line feed; a power cut may have left half a line after it."""
    return path.read_bytes().rfind(b"\n") + 1
