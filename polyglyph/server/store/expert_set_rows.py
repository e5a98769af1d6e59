"""Rows of expert sets: one document for each name."""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from polyglyph.contract.expert_set import ExpertSet
from polyglyph.server.store.tables import EXPERT_SETS


@dataclass(frozen=True)
class ExpertSetRow:
    """An expert set as it is stored.

    Attributes:
        fingerprint: Of its content.
        document: JSON text.
    """

    fingerprint: str
    document: str


def put_expert_set(connection: Connection, experts: ExpertSet) -> ExpertSetRow:
    """Store a set under its name; what stood there is gone."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = ExpertSetRow(experts.fingerprint, json.dumps(experts.to_json(), allow_nan=False))
    values = {"name": experts.name, "fingerprint": row.fingerprint, "document": row.document}
    statement = dialect.insert(EXPERT_SETS).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    return row


def delete_expert_set(connection: Connection, name: str) -> bool:
    """Take a set out; False when there was none."""
    return bool(connection.execute(delete(EXPERT_SETS).where(EXPERT_SETS.c.name == name)).rowcount)


def read_expert_sets(connection: Connection) -> dict[str, ExpertSetRow]:
    """Give every set by name."""
    query = select(EXPERT_SETS.c.name, EXPERT_SETS.c.fingerprint, EXPERT_SETS.c.document)
    return {name: ExpertSetRow(fingerprint, document) for name, fingerprint, document in connection.execute(query)}
