"""The model that sums are of, and its epoch: a reset begins a new one, and sums of older ones are gone."""

import time
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from polyglyph.contract.model import ModelBinding
from polyglyph.server.store.tables import MODELS, SUMS


@dataclass(frozen=True)
class Epoch:
    """The time between two resets of one model's sums.

    Attributes:
        model_id: Row of the model.
        name: Random; a store that was made anew never has an old one's.
        began_at: Seconds since 1970.
    """

    model_id: int
    name: str
    began_at: int


def find_epoch(connection: Connection, fingerprint: str, *, locks: bool = False) -> Epoch | None:
    """Give a model's epoch, None when the store has never seen the model.

    Args:
        connection: A transaction.
        fingerprint: The model's.
        locks: Keep others from resetting until the transaction ends.
    """
    query = select(MODELS.c.id, MODELS.c.epoch, MODELS.c.began_at).where(MODELS.c.fingerprint == fingerprint)
    row = connection.execute(query.with_for_update(read=True) if locks else query).first()
    return None if row is None else Epoch(*row)


def ensure_epoch(connection: Connection, model: ModelBinding) -> Epoch:
    """Give a model's epoch, begun now when the store has never seen the model, and keep others from resetting it."""
    known = find_epoch(connection, model.fingerprint, locks=True)
    return known or _begin_first(connection, model)


def begin_epoch(connection: Connection, model: ModelBinding) -> Epoch:
    """Delete a model's sums and begin a new epoch."""
    # Not ensure_epoch: two resets that both held the shared lock would wait for each other.
    begun = {"epoch": uuid.uuid4().hex, "began_at": int(time.time())}
    changed = connection.execute(update(MODELS).where(MODELS.c.fingerprint == model.fingerprint).values(begun))
    if not changed.rowcount:
        return _begin_first(connection, model)
    epoch = find_epoch(connection, model.fingerprint)
    assert epoch is not None
    connection.execute(delete(SUMS).where(SUMS.c.model_id == epoch.model_id, SUMS.c.epoch != epoch.name))
    return epoch


def _begin_first(connection: Connection, model: ModelBinding) -> Epoch:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {
        "fingerprint": model.fingerprint,
        "layers": model.layers,
        "experts": model.experts,
        "top_k": model.top_k,
        "epoch": uuid.uuid4().hex,
        "began_at": int(time.time()),
    }
    # Another server of the same model may be doing the same.
    connection.execute(dialect.insert(MODELS).values(row).on_conflict_do_nothing())
    epoch = find_epoch(connection, model.fingerprint, locks=True)
    assert epoch is not None
    return epoch
