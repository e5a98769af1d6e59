"""The state of a run on disk: which documents are finished, so that a run that was cut off can go on.

A file of JSON Lines that only grows: a header with the run's settings, a line before a document's first request, one
after its last. What was begun and not ended when the run was cut off may be counted twice; nothing else can.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from polyglyph.clients.errors import UnwritableFileError
from polyglyph.contract.errors import RequestError

SCHEMA = "polyglyph.profile-state/1"
SYNC_S = 1.0
"""How often the file is forced to the disk; a process that is killed loses nothing, a machine that loses power this."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left.

    Attributes:
        finished: How often each document, by key, was finished.
        prompt_tokens: Prompt tokens of the finished documents.
        num_open: Documents that were begun and not ended.
        has_ended: The run came to its end.
    """

    finished: Counter[str]
    prompt_tokens: int
    num_open: int
    has_ended: bool


NOTHING = Earlier(Counter(), 0, 0, has_ended=True)


class State:
    """The state file of the run that is going on.

    Attributes:
        earlier: What this run goes on with.
        set_aside: An unfinished run that this one does not go on with.
    """

    def __init__(
        self, path: Path, descriptor: int, *, earlier: Earlier = NOTHING, set_aside: Earlier = NOTHING
    ) -> None:
        self.path = path
        self.earlier = earlier
        self.set_aside = set_aside
        self._descriptor = descriptor
        self._synced_at = time.monotonic()

    def begin(self, key: str) -> None:
        """Note that a document's first request is about to be sent."""
        self._append({"begun": key})

    def finish(self, key: str, *, prompt_tokens: int) -> None:
        """Note that a document is counted."""
        self._append({"done": key, "prompt_tokens": prompt_tokens})

    def refuse(self, key: str) -> None:
        """Note that the server refused a document: nothing of it is in flight any more."""
        self._append({"refused": key})

    def end(self) -> None:
        """Note that the corpus was read to its end."""
        self._append({"ended": True})

    def close(self) -> None:
        """Force everything to the disk and let the file go."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            # Not buffered: the line is in the system's hands before the next request leaves.
            _write(self._descriptor, json.dumps(line).encode() + b"\n")
            if time.monotonic() - self._synced_at >= SYNC_S:
                os.fsync(self._descriptor)
                self._synced_at = time.monotonic()
        except OSError as error:
            raise UnwritableFileError(f"{self.path} cannot be written: {error.strerror or error}") from error


def open_state(path: Path, settings: Mapping[str, Any], *, resumes: bool) -> State:
    """Open a state file for one run; no other run can open it meanwhile.

    Args:
        path: The file; made if absent.
        settings: What must be the same when a run goes on, as JSON values.
        resumes: Go on with what is in the file. Otherwise it begins anew, and an unfinished earlier one is kept
            beside it with `.previous` at the end of its name.

    Raises:
        RequestError: The file is no state, is another run's, or is in use.
        UnwritableFileError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror or error}") from error
    try:
        return _opened(path, descriptor, settings, resumes=resumes)
    except BaseException:
        os.close(descriptor)
        raise


def default_state_path(settings: Mapping[str, Any]) -> Path:
    """Give where the state of a run with these settings is kept: in the user's state folder."""
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    digest = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    return folder / "polyglyph" / "profile" / f"{digest}.jsonl"


def _opened(path: Path, descriptor: int, settings: Mapping[str, Any], *, resumes: bool) -> State:
    _lock(path, descriptor)
    data = _read(descriptor)
    earlier = _earlier(path, data, settings if resumes else None) if data else NOTHING
    if data and resumes:
        _drop_torn_line(descriptor, data)
        return State(path, descriptor, earlier=earlier)
    if not earlier.has_ended:
        path.with_name(path.name + ".previous").write_bytes(data)
    os.ftruncate(descriptor, 0)
    state = State(path, descriptor, set_aside=NOTHING if earlier.has_ended else earlier)
    state._append({"schema": SCHEMA, "settings": settings})  # noqa: SLF001 - its own module
    return state


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _lock(path: Path, descriptor: int) -> None:
    import fcntl  # only POSIX has it, and only this command needs it

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise RequestError(f"{path}: another run is writing this state; name another file with --state") from error


def _read(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def _drop_torn_line(descriptor: int, data: bytes) -> None:
    """Cut off what follows the last line feed: a line that a power cut left half written."""
    os.ftruncate(descriptor, data.rfind(b"\n") + 1)


def _earlier(path: Path, data: bytes, settings: Mapping[str, Any] | None) -> Earlier:
    """Read what an earlier run noted; `settings` are those it must have had, None for any."""
    lines = data.split(b"\n")[:-1]
    header = _object(path, lines[0], 1) if lines else {}
    if header.get("schema") != SCHEMA:
        raise RequestError(f"{path}: expected a state of 'polyglyph profile' ({SCHEMA}); it is left as it is")
    for name, wanted in (settings or {}).items():
        if (found := (header.get("settings") or {}).get(name)) != wanted:
            raise RequestError(
                f"{path}: the earlier run had {name} {json.dumps(found)}, this one has {json.dumps(wanted)}; "
                "go on with the same, or begin anew without --resume"
            )
    finished: Counter[str] = Counter()
    num_open = prompt_tokens = 0
    has_ended = False
    for number, line in enumerate(lines[1:], 2):
        note = _object(path, line, number)
        num_open += ("begun" in note) - ("done" in note or "refused" in note)
        has_ended = "ended" in note
        if "done" in note:
            finished[str(note["done"])] += 1
            prompt_tokens += int(note["prompt_tokens"])
    return Earlier(finished, prompt_tokens, num_open, has_ended)


def _object(path: Path, line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RequestError(f"{path}: line {number} is damaged; begin anew with another --state")
    return value
