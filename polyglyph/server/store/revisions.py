"""Counters by which servers that share a store notice each other's changes."""

from typing import Literal

from sqlalchemy import Connection, select, update

from polyglyph.server.store.tables import REVISIONS

Subject = Literal["plans", "policy", "expert_sets"]


def read_revision(connection: Connection, subject: Subject) -> int:
    """Give how often a subject was changed."""
    return int(connection.execute(select(REVISIONS.c.number).where(REVISIONS.c.subject == subject)).scalar_one())


def next_revision(connection: Connection, subject: Subject) -> int:
    """Count a change, and keep other servers from changing the subject until the transaction ends."""
    changed = update(REVISIONS).where(REVISIONS.c.subject == subject).values(number=REVISIONS.c.number + 1)
    connection.execute(changed)
    return read_revision(connection, subject)
