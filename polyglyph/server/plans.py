"""The registry of plans: what the store holds, kept in memory, and the plans shipped for the loaded model."""

import json
import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from polyglyph.contract.errors import ConflictError, RequestError, UnknownPlanError
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Plan, load_plan, parse_plan
from polyglyph.server.plan_folder import SUFFIX, PlanFolder
from polyglyph.server.store.imported_files import is_imported, note_import
from polyglyph.server.store.plan_rows import PlanRow, delete_name, keep_content, put_plan, read_contents, read_names
from polyglyph.server.store.revisions import next_revision, read_revision
from polyglyph.server.store.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPlan:
    """A plan that requests can name.

    Attributes:
        plan: The document.
        fingerprint: Its fingerprint, computed once.
        is_builtin: Shipped with Polyglyph: it can be neither replaced nor deleted.
    """

    plan: Plan
    fingerprint: str
    is_builtin: bool = False


class PlanRegistry:
    """Plans by name, and every content ever held by fingerprint.

    Everything is in memory, so that requests find their plans while the store is away; `refresh` takes over what other
    servers changed.

    Args:
        store: Keeps names and contents.
        folder: Files to take over at start, each content of each file once.
        builtin_folder: Plans shipped with Polyglyph; those made for another model are left out.
        loaded: The loaded model.

    Raises:
        StorageError: The store failed.
    """

    def __init__(self, store: Store, *, folder: Path, builtin_folder: Path, loaded: ModelBinding) -> None:
        self._store = store
        self._folder = PlanFolder(folder)
        self._lock = threading.Lock()
        self._builtins = _read_builtins(builtin_folder, loaded)
        # Replaced whole, because requests read them while a thread changes them.
        self._named: dict[str, StoredPlan] = self._builtins
        self._rows: dict[str, PlanRow] = {}
        self._contents: dict[str, str] = {}
        self._revision = -1
        self.refresh()
        self._take_over_folder()
        self.refresh()

    @property
    def unreadable(self) -> dict[str, str]:
        """Files of the folder that hold no plan, with the reason."""
        return self._folder.unreadable

    def all(self) -> tuple[StoredPlan, ...]:
        """Give every named plan, by name."""
        return tuple(stored for _, stored in sorted(self._named.items()))

    def find(self, name: str, *, param: str) -> StoredPlan:
        """Give the plan of a name or fingerprint, from memory.

        Raises:
            UnknownPlanError: The text lists the names there are.
        """
        found = self._named.get(name) or self._by_fingerprint(name)
        if found is None:
            raise UnknownPlanError(
                f"{param}: there is no plan {name!r:.80}; this server has {self._names()}", param=param
            )
        return found

    def put(self, plan: Plan) -> StoredPlan:
        """Store a plan under its name.

        Raises:
            ConflictError: The name belongs to a built-in plan.
            StorageError: The store failed.
        """
        with self._lock:
            self._refuse_builtin(plan.name)
            with self._store.write() as connection:
                row = put_plan(connection, plan, revision=next_revision(connection, "plans"))
            stored = StoredPlan(plan=plan, fingerprint=row.fingerprint)
            self._rows = {**self._rows, plan.name: row}
            self._named = {**self._named, plan.name: stored}
            self._contents = {row.fingerprint: row.document, **self._contents}
            self.unreadable.pop(f"{plan.name}{SUFFIX}", None)
        return stored

    def delete(self, name: str) -> None:
        """Take a name out of the registry; its content stays reachable by fingerprint.

        Raises:
            UnknownPlanError: There is no such name.
            ConflictError: The plan is built in.
            StorageError: The store failed.
        """
        with self._lock:
            self._refuse_builtin(name)
            with self._store.write() as connection:
                next_revision(connection, "plans")
                if not delete_name(connection, name):
                    raise UnknownPlanError(
                        f"name: there is no plan {name!r:.80}; this server has {self._names()}", param="name"
                    )
            self._rows = {other: row for other, row in self._rows.items() if other != name}
            self._named = {other: stored for other, stored in self._named.items() if other != name}

    def refresh(self) -> None:
        """Take over what changed in the store since the last time; call it in a thread.

        Raises:
            StorageError: The store cannot be read; the plans stay as they are.
        """
        with self._lock:
            with self._store.read() as connection:
                revision = read_revision(connection, "plans")
                if revision == self._revision:
                    return
                contents = read_contents(connection, after=self._revision)
                rows = read_names(connection)
            self._contents = self._contents | contents
            self._named = self._take_over_rows(rows) | self._builtins
            self._rows, self._revision = rows, revision

    def _take_over_rows(self, rows: dict[str, PlanRow]) -> dict[str, StoredPlan]:
        named = {}
        for name, row in rows.items():
            if name in self._builtins:
                logger.warning("The store's plan '%s' has the name of a built-in one, which hides it", name)
            elif row == self._rows.get(name) and name in self._named:
                named[name] = self._named[name]
            else:
                try:
                    named[name] = StoredPlan(plan=_parse(row.document, root=name), fingerprint=row.fingerprint)
                except RequestError as error:
                    logger.warning("Left out a plan of the store: %s", error)
        return named

    def _by_fingerprint(self, fingerprint: str) -> StoredPlan | None:
        for stored in self._named.values():
            if stored.fingerprint == fingerprint:
                return stored
        document = self._contents.get(fingerprint)
        return None if document is None else StoredPlan(plan=_parse(document, root="plan"), fingerprint=fingerprint)

    def _take_over_folder(self) -> None:
        named = [(file, plan) for file, plan in self._folder.named() if self._is_free(file, plan.name)]
        contents = [plan for plan in self._folder.archived() if plan.fingerprint not in self._contents]
        with self._store.read() as connection:
            is_new = any(not is_imported(connection, file) for file, _ in named)
        if not (is_new or contents):
            return
        with self._store.write() as connection:
            revision = next_revision(connection, "plans")
            for plan in contents:
                keep_content(connection, plan, revision=revision)
            for file, plan in named:
                # Looked up again: another server may have started meanwhile.
                if not is_imported(connection, file):
                    put_plan(connection, plan, revision=revision)
                    note_import(connection, file)

    def _is_free(self, file: Path, name: str) -> bool:
        try:
            self._refuse_builtin(name)
        except ConflictError as error:
            self._folder.leave_out(file, error)
            return False
        return True

    def _refuse_builtin(self, name: str) -> None:
        if name in self._builtins:
            raise ConflictError(
                f"name: the plan '{name}' is built in and cannot be replaced or deleted; use another name", param="name"
            )

    def _names(self) -> str:
        names = sorted(self._named)
        shown = ", ".join(names[:20]) or "none"
        return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"


def _read_builtins(folder: Path, loaded: ModelBinding) -> dict[str, StoredPlan]:
    plans = [load_plan(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    return {
        plan.name: StoredPlan(plan=plan, fingerprint=plan.fingerprint, is_builtin=True)
        for plan in plans
        if plan.model == loaded
    }


def _parse(document: str, *, root: str) -> Plan:
    return parse_plan(json.loads(document), root=root)
