"""Expert sets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LABEL = sa.String().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "expert_sets",
        sa.Column("name", LABEL),
        sa.Column("fingerprint", LABEL, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_expert_sets"),
        comment="Named experts of a model; a name that is put again has the new content alone",
    )
    op.execute("INSERT INTO revisions (subject, number) VALUES ('expert_sets', 0)")
