"""Rows of plans: contents that stay for ever, and the names that point to them."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from polyglyph.contract.plan import Plan
from polyglyph.server.store.tables import PLAN_CONTENTS, PLAN_NAMES


@dataclass(frozen=True)
class PlanRow:
    """A plan as it is stored.

    Attributes:
        fingerprint: Of its content.
        document: JSON text.
    """

    fingerprint: str
    document: str


def put_plan(connection: Connection, plan: Plan, *, revision: int) -> PlanRow:
    """Store a plan and point its name to it; what the name pointed to stays."""
    row = keep_content(connection, plan, revision=revision)
    values = {"name": plan.name, "fingerprint": row.fingerprint, "document": row.document}
    statement = _dialect(connection).insert(PLAN_NAMES).values(values)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
    return row


def keep_content(connection: Connection, plan: Plan, *, revision: int) -> PlanRow:
    """Store a plan under its fingerprint alone; content that is there stays as it is."""
    row = PlanRow(plan.fingerprint, json.dumps(plan.to_json(), allow_nan=False))
    values = {"fingerprint": row.fingerprint, "document": row.document, "revision": revision}
    connection.execute(_dialect(connection).insert(PLAN_CONTENTS).values(values).on_conflict_do_nothing())
    return row


def delete_name(connection: Connection, name: str) -> bool:
    """Take a name out; False when there was none."""
    return bool(connection.execute(delete(PLAN_NAMES).where(PLAN_NAMES.c.name == name)).rowcount)


def read_names(connection: Connection) -> dict[str, PlanRow]:
    """Give what each name points to."""
    query = select(PLAN_NAMES.c.name, PLAN_NAMES.c.fingerprint, PLAN_NAMES.c.document)
    return {name: PlanRow(fingerprint, document) for name, fingerprint, document in connection.execute(query)}


def read_contents(connection: Connection, *, after: int) -> dict[str, str]:
    """Give the documents of the contents stored after a revision, by fingerprint."""
    query = select(PLAN_CONTENTS.c.fingerprint, PLAN_CONTENTS.c.document).where(PLAN_CONTENTS.c.revision > after)
    return {row.fingerprint: row.document for row in connection.execute(query)}


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite
