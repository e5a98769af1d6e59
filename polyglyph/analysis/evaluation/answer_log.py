"""The log of answers, `answers.jsonl`: a line for each, written when it came, so that a cut-off run goes on."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from polyglyph.analysis.evaluation.answer import Answer
from polyglyph.analysis.evaluation.errors import RunFolderError
from polyglyph.analysis.evaluation.job import Key
from polyglyph.clients.errors import UnwritableFileError

FILE_NAME = "answers.jsonl"
SYNC_S = 1.0
"""How often the file is forced to the disk; a process that is killed loses nothing, a machine that loses power this."""
_ANSWER = TypeAdapter(Answer)


class AnswerLog:
    """The log of one run; no other run can write it meanwhile.

    Args:
        path: The file; made if absent. A line that was left half written is cut off.

    Attributes:
        done: Item, arm and sample of every answer in it.

    Raises:
        RunFolderError: It is damaged, or another run is writing it.
        UnwritableFileError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error
        self._synced_at = time.monotonic()
        try:
            self._lock()
            os.ftruncate(self._descriptor, _whole_bytes(path))
            self.done = {key_of(answer) for answer in read_answers(path)}
        except BaseException:
            os.close(self._descriptor)
            raise

    def append(self, answer: Answer) -> None:
        """Write down one answer; it is in the system's hands when this returns.

        Raises:
            UnwritableFileError: It cannot be written.
        """
        data = json.dumps(asdict(answer), ensure_ascii=False).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if time.monotonic() - self._synced_at >= SYNC_S:
                os.fsync(self._descriptor)
                self._synced_at = time.monotonic()
        except OSError as error:
            raise UnwritableFileError(f"{self._path} cannot be written: {error.strerror or error}") from error
        self.done.add(key_of(answer))

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


def read_answers(path: Path) -> Iterator[Answer]:
    """Give the answers of a log, each once.

    Raises:
        RunFolderError: A line is damaged, or an answer is there twice; the text names the line.
    """
    seen: set[Key] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                answer = _ANSWER.validate_json(line)
            except ValidationError as error:
                raise RunFolderError(f"{path}, line {number}: damaged; begin anew in another folder") from error
            if key_of(answer) in seen:
                raise RunFolderError(f"{path}, line {number}: answers {key_of(answer)} a second time")
            seen.add(key_of(answer))
            yield answer


def key_of(answer: Answer) -> Key:
    """Give what tells an answer from all others of its run."""
    return answer.item, answer.arm, answer.sample


def _whole_bytes(path: Path) -> int:
    """Give how many bytes there are up to the last line feed; a power cut may have left half a line after it."""
    return path.read_bytes().rfind(b"\n") + 1
