"""The registry of expert sets: what the store holds, kept in memory."""

import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from polyglyph.contract.errors import RequestError, UnknownExpertSetError
from polyglyph.contract.expert_set import ExpertSet, check_set_model, parse_expert_set
from polyglyph.contract.guard import Guard
from polyglyph.contract.model import ModelDescription
from polyglyph.server.store.expert_set_rows import (
    ExpertSetRow,
    delete_expert_set,
    put_expert_set,
    read_expert_sets,
)
from polyglyph.server.store.revisions import next_revision, read_revision
from polyglyph.server.store.store import Store

logger = logging.getLogger(__name__)
SHOWN = 20


@dataclass(frozen=True)
class StoredExpertSet:
    """An expert set that requests can name.

    Attributes:
        experts: The document.
        fingerprint: Its fingerprint, computed once.
        fits_model: Whether it was made for the loaded model.
    """

    experts: ExpertSet
    fingerprint: str
    fits_model: bool


class ExpertSetRegistry:
    """Expert sets by name, and the guard that those of the loaded model make.

    Everything is in memory, so that requests find their sets while the store is away; `refresh` takes over what other
    servers changed.

    Args:
        store: Keeps them.
        model: The loaded model.

    Raises:
        StorageError: The store failed.
    """

    def __init__(self, store: Store, *, model: ModelDescription) -> None:
        self._store = store
        self._model = model
        self._lock = threading.Lock()
        # Replaced whole, because requests read them while a thread changes them.
        self._named: Mapping[str, StoredExpertSet] = {}
        self._rows: Mapping[str, ExpertSetRow] = {}
        self._revision = -1
        self.guard = Guard()
        self.refresh()

    def all(self) -> tuple[StoredExpertSet, ...]:
        """Give every set, by name."""
        return tuple(stored for _, stored in sorted(self._named.items()))

    def readable(self) -> tuple[ExpertSet, ...]:
        """Give the sets that a request reads when it names none: the loaded model's that are no guards, by name."""
        return tuple(stored.experts for stored in self.all() if stored.fits_model and not stored.experts.guard)

    def find(self, name: str, *, param: str) -> StoredExpertSet:
        """Give the set of a name.

        Raises:
            UnknownExpertSetError: The text lists the names there are.
        """
        found = self._named.get(name)
        if found is None:
            raise UnknownExpertSetError(
                f"{param}: there is no expert set {name!r:.80}; this server has {self._names()}", param=param
            )
        return found

    def find_fitting(self, name: str, *, param: str) -> ExpertSet:
        """Give the set of a name, for the loaded model.

        Raises:
            UnknownExpertSetError: There is none.
            PlanMismatchError: It was made for another model.
        """
        experts = self.find(name, param=param).experts
        check_set_model(experts, self._model.binding, param=param)
        return experts

    def guard_with(self, experts: ExpertSet) -> Guard:
        """Give the guard that there would be with a set put, whatever stands under its name now."""
        others = [stored.experts for stored in self.all() if stored.fits_model and stored.experts.name != experts.name]
        return Guard([*others, experts])

    def put(self, experts: ExpertSet) -> StoredExpertSet:
        """Store a set of the loaded model under its name.

        Raises:
            StorageError: The store failed.
        """
        with self._lock:
            with self._store.write() as connection:
                next_revision(connection, "expert_sets")
                row = put_expert_set(connection, experts)
            stored = self._stored(experts, row)
            self._take_over({**self._rows, experts.name: row}, {**self._named, experts.name: stored})
        return stored

    def delete(self, name: str) -> None:
        """Take a set out of the registry.

        Raises:
            UnknownExpertSetError: There is no such set.
            StorageError: The store failed.
        """
        with self._lock:
            with self._store.write() as connection:
                next_revision(connection, "expert_sets")
                if not delete_expert_set(connection, name):
                    raise UnknownExpertSetError(
                        f"name: there is no expert set {name!r:.80}; this server has {self._names()}", param="name"
                    )
            rows = {other: row for other, row in self._rows.items() if other != name}
            self._take_over(rows, {other: stored for other, stored in self._named.items() if other != name})

    def refresh(self) -> None:
        """Take over what changed in the store since the last time; call it in a thread.

        Raises:
            StorageError: The store cannot be read; the sets stay as they are.
        """
        with self._lock:
            with self._store.read() as connection:
                revision = read_revision(connection, "expert_sets")
                if revision == self._revision:
                    return
                rows = read_expert_sets(connection)
            self._take_over(rows, self._parsed(rows))
            self._revision = revision

    def _take_over(self, rows: Mapping[str, ExpertSetRow], named: Mapping[str, StoredExpertSet]) -> None:
        self._rows, self._named = rows, named
        self.guard = Guard(stored.experts for stored in named.values() if stored.fits_model)

    def _parsed(self, rows: Mapping[str, ExpertSetRow]) -> dict[str, StoredExpertSet]:
        named = {}
        for name, row in rows.items():
            if row == self._rows.get(name) and name in self._named:
                named[name] = self._named[name]
                continue
            try:
                named[name] = self._stored(parse_expert_set(json.loads(row.document), root=name), row)
            except RequestError as error:
                logger.warning("Left out an expert set of the store: %s", error)
        return named

    def _stored(self, experts: ExpertSet, row: ExpertSetRow) -> StoredExpertSet:
        return StoredExpertSet(experts, row.fingerprint, fits_model=experts.model == self._model.binding)

    def _names(self) -> str:
        names = sorted(self._named)
        shown = ", ".join(names[:SHOWN]) or "none"
        return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
