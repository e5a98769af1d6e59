"""The policy in force: which plan an `auto` request gets, kept across restarts."""

import json
import logging
import threading
from pathlib import Path

from polyglyph.contract.errors import RequestError, StartupError
from polyglyph.contract.policy import Policy, load_policy, parse_policy
from polyglyph.server.store.imported_files import is_imported, note_import
from polyglyph.server.store.policy_rows import put_policy, read_policy
from polyglyph.server.store.revisions import next_revision, read_revision
from polyglyph.server.store.store import Store

logger = logging.getLogger(__name__)


class PolicyStore:
    """Holds the policy in force, and keeps in the store what is put.

    Args:
        store: Keeps the policy.
        kept: `policy.json` of the data directory, where 0.1.0 kept it; each content is taken over once.
        given: File named at start (`--policy`); it wins over the kept one until another is put.
        builtin: What is in force while the store holds none.

    Raises:
        StartupError: A file cannot be read or is no policy, or the store holds none that this version understands.
        StorageError: The store failed.
    """

    def __init__(self, store: Store, *, kept: Path, given: Path | None, builtin: Policy | None = None) -> None:
        self._store = store
        self._builtin = builtin or Policy()
        self._lock = threading.Lock()
        self._take_over(kept)
        self._revision, text = self._read()
        if given is not None:
            self.policy = _load(given, "--policy")
        else:
            self.policy = self._parse_at_start(text)

    def put(self, policy: Policy) -> None:
        """Put a policy in force.

        Raises:
            StorageError: The store failed; the policy in force stays.
        """
        with self._lock:
            with self._store.write() as connection:
                self._revision = next_revision(connection, "policy")
                put_policy(connection, policy)
            self.policy = policy

    def refresh(self) -> None:
        """Take over a policy that another server put since the last time; call it in a thread.

        One that this version does not understand is left where it is, and logged.

        Raises:
            StorageError: The store cannot be read; the policy in force stays.
        """
        with self._lock:
            revision, text = self._read()
            if revision == self._revision:
                return
            self._revision = revision
            try:
                self.policy = self._parse(text)
            except RequestError as error:
                logger.warning("Another server put a policy that is not understood, the one in force stays: %s", error)

    def _read(self) -> tuple[int, str | None]:
        with self._store.read() as connection:
            return read_revision(connection, "policy"), read_policy(connection)

    def _parse(self, text: str | None) -> Policy:
        return self._builtin if text is None else parse_policy(json.loads(text))

    def _parse_at_start(self, text: str | None) -> Policy:
        try:
            return self._parse(text)
        except RequestError as error:
            raise StartupError(f"the store {self._store} holds a policy that is not understood: {error}") from error

    def _take_over(self, file: Path) -> None:
        if not file.is_file():
            return
        policy = _load(file, "--data-dir")
        with self._store.write() as connection:
            if not is_imported(connection, file):
                next_revision(connection, "policy")
                put_policy(connection, policy)
                note_import(connection, file)


def _load(path: Path, flag: str) -> Policy:
    try:
        return load_policy(path)
    except (RequestError, RecursionError) as error:
        raise StartupError(f"{flag}: {error}") from error
