"""The row of the policy."""

import json

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from polyglyph.contract.policy import Policy
from polyglyph.server.store.tables import POLICY


def read_policy(connection: Connection) -> str | None:
    """Give the policy's JSON text, None when none was ever put."""
    return connection.execute(select(POLICY.c.document)).scalar()


def put_policy(connection: Connection, policy: Policy) -> None:
    """Replace the policy."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    document = json.dumps(policy.to_json(), allow_nan=False)
    statement = dialect.insert(POLICY).values(id=1, document=document)
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"document": document}))
