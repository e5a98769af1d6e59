"""The registry of plans: a folder of `*.plan.json` files and the plans shipped for the loaded model."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path

from polyglyph.contract.errors import ConflictError, RequestError, UnknownPlanError
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.plan import Plan, load_plan
from polyglyph.server.files import remove_document, write_document

SUFFIX = ".plan.json"
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

    The folder is read once, at start; afterwards this process alone changes it. A name can be repointed: what it
    pointed to stays in `by-fingerprint/`.

    Args:
        folder: Holds `NAME.plan.json` files; made when the first plan is stored.
        builtin_folder: Plans shipped with Polyglyph; those made for another model are left out.
        loaded: The loaded model.
    """

    def __init__(self, folder: Path, *, builtin_folder: Path, loaded: ModelBinding) -> None:
        self._folder = folder
        self._archive = folder / "by-fingerprint"
        self._lock = threading.Lock()
        # Replaced whole, because requests read it while a thread changes it.
        self._named: dict[str, StoredPlan] = {}
        self.unreadable: dict[str, str] = {}
        self._read_builtins(builtin_folder, loaded)
        self._read_folder()

    def all(self) -> tuple[StoredPlan, ...]:
        """Give every named plan, by name."""
        return tuple(stored for _, stored in sorted(self._named.items()))

    def find(self, name: str, *, param: str) -> StoredPlan:
        """Give the plan of a name or fingerprint.

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
            StorageError: The folder cannot be written.
        """
        stored = StoredPlan(plan=plan, fingerprint=plan.fingerprint)
        with self._lock:
            self._refuse_builtin(plan.name)
            self._keep_content(self._named.get(plan.name))
            self._keep_content(stored)
            write_document(self._folder / f"{plan.name}{SUFFIX}", plan.to_json())
            self._named = {**self._named, plan.name: stored}
            self.unreadable.pop(f"{plan.name}{SUFFIX}", None)
        return stored

    def delete(self, name: str) -> None:
        """Take a name out of the registry; its content stays reachable by fingerprint.

        Raises:
            UnknownPlanError: There is no such name.
            ConflictError: The plan is built in.
            StorageError: The folder cannot be written.
        """
        with self._lock:
            if name not in self._named:
                raise UnknownPlanError(
                    f"name: there is no plan {name!r:.80}; this server has {self._names()}", param="name"
                )
            self._refuse_builtin(name)
            self._keep_content(self._named[name])
            remove_document(self._folder / f"{name}{SUFFIX}")
            self._named = {other: stored for other, stored in self._named.items() if other != name}

    def _read_builtins(self, folder: Path, loaded: ModelBinding) -> None:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            plan = load_plan(path)
            if plan.model == loaded:
                self._named[plan.name] = StoredPlan(plan=plan, fingerprint=plan.fingerprint, is_builtin=True)

    def _read_folder(self) -> None:
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                plan = self._read(path)
            except (RequestError, RecursionError) as error:
                self.unreadable[path.name] = str(error).replace(str(path), path.name)
                logger.warning("Left out a file of the plan registry: %s", error)
            else:
                self._named[plan.name] = StoredPlan(plan=plan, fingerprint=plan.fingerprint)

    def _read(self, path: Path) -> Plan:
        plan = load_plan(path)
        if plan.name != path.name.removesuffix(SUFFIX):
            raise RequestError(f"{path}: holds the plan '{plan.name}'; a file is named after its plan")
        self._refuse_builtin(plan.name)
        return plan

    def _by_fingerprint(self, fingerprint: str) -> StoredPlan | None:
        for stored in self.all():
            if stored.fingerprint == fingerprint:
                return stored
        kind, _, digest = fingerprint.partition(":")
        if kind != "sha256" or len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            return None
        path = self._archive / f"{digest}{SUFFIX}"
        if not path.is_file():
            return None
        try:
            plan = load_plan(path)
        except (RequestError, RecursionError) as error:
            logger.warning("A kept plan cannot be read: %s", error)
            return None
        return StoredPlan(plan=plan, fingerprint=fingerprint) if plan.fingerprint == fingerprint else None

    def _keep_content(self, stored: StoredPlan | None) -> None:
        if stored is not None:
            path = self._archive / f"{stored.fingerprint.removeprefix('sha256:')}{SUFFIX}"
            if not path.is_file():
                write_document(path, stored.plan.to_json())

    def _refuse_builtin(self, name: str) -> None:
        stored = self._named.get(name)
        if stored is not None and stored.is_builtin:
            raise ConflictError(
                f"name: the plan '{name}' is built in and cannot be replaced or deleted; use another name", param="name"
            )

    def _names(self) -> str:
        names = sorted(self._named)
        shown = ", ".join(names[:20]) or "none"
        return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
