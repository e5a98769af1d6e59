"""Plans, policy and sums (0.2.0)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

LABEL = sa.String().with_variant(postgresql.TEXT(collation="C"), "postgresql")
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _make_registry()
    _make_sums()


def _make_registry() -> None:
    op.create_table(
        "origin",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("store_id", LABEL, nullable=False),
        sa.Column("polyglyph", LABEL, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_origin"),
        sa.CheckConstraint("id = 1", name="ck_origin_single"),
        comment="Which store this is, and the Polyglyph that last changed its layout",
    )
    op.create_table(
        "revisions",
        sa.Column("subject", LABEL),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_revisions"),
        comment="Counts the changes of plans and of the policy; writers lock the row first, readers compare the number",
    )
    op.create_table(
        "plan_contents",
        sa.Column("fingerprint", LABEL),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_plan_contents"),
        comment="Every plan ever stored, as it was first stored; never changed, never deleted",
    )
    op.create_table(
        "plan_names",
        sa.Column("name", LABEL),
        sa.Column("fingerprint", LABEL, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_plan_names"),
        sa.ForeignKeyConstraint(["fingerprint"], ["plan_contents.fingerprint"], name="fk_plan_names_fingerprint"),
        comment="What each name points to; description and provenance, outside the fingerprint, are the name's",
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy"),
        sa.CheckConstraint("id = 1", name="ck_policy_single"),
    )
    op.create_table(
        "imported_files",
        sa.Column("file", LABEL),
        sa.Column("sha256", LABEL),
        sa.PrimaryKeyConstraint("file", "sha256", name="pk_imported_files"),
        comment="Files of the data directory that were taken over; each content is taken over once",
    )
    op.execute("INSERT INTO revisions (subject, number) VALUES ('plans', 0), ('policy', 0)")


def _make_sums() -> None:
    op.create_table(
        "models",
        sa.Column("id", ROW_ID),
        sa.Column("fingerprint", LABEL, nullable=False),
        sa.Column("layers", sa.Integer, nullable=False),
        sa.Column("experts", sa.Integer, nullable=False),
        sa.Column("top_k", sa.Integer, nullable=False),
        sa.Column("epoch", LABEL, nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("fingerprint", name="uq_models_fingerprint"),
        comment="What the sums are of; a reset gives a new epoch, began_at is its begin in seconds since 1970",
    )
    labels = ("request_script", "script", "phase", "plan", "tag")
    op.create_table(
        "sums",
        sa.Column("id", ROW_ID),
        sa.Column("model_id", ROW_ID, nullable=False),
        sa.Column("epoch", LABEL, nullable=False),
        sa.Column("run_id", LABEL, nullable=False),
        sa.Column("bucket_start", sa.BigInteger, nullable=False),
        *(sa.Column(label, LABEL, nullable=False) for label in labels),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_tokens", sa.BigInteger, nullable=False),
        sa.Column("selected", sa.LargeBinary, nullable=False),
        sa.Column("weight_sum", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sums"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_sums_model_id"),
        sa.UniqueConstraint("model_id", "epoch", "run_id", "bucket_start", *labels, name="uq_sums_model_id"),
        comment="What one run counted in one bucket of time, in all; little-endian int64 and float64 [L, E]",
    )
    if op.get_context().dialect.name == "postgresql":
        # Written again every second: compressing 100 groups of 48 x 128 took longer than writing them.
        for column in ("selected", "weight_sum"):
            op.execute(f"ALTER TABLE sums ALTER COLUMN {column} SET STORAGE EXTERNAL")
