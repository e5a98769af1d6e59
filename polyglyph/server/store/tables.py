"""The tables of the store, as the newest migration leaves them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql

# Both databases then order text by code points, as Python does.
LABEL = String().with_variant(postgresql.TEXT(collation="C"), "postgresql")
# SQLite numbers rows by itself only in columns of exactly this type.
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

ORIGIN = Table(
    "origin",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("store_id", LABEL, nullable=False),
    Column("polyglyph", LABEL, nullable=False),
    comment="Which store this is, and the Polyglyph that last changed its layout",
)

REVISIONS = Table(
    "revisions",
    METADATA,
    Column("subject", LABEL, primary_key=True),
    Column("number", BigInteger, nullable=False),
    comment="Counts the changes of plans and of the policy; writers lock the row first, readers compare the number",
)

PLAN_CONTENTS = Table(
    "plan_contents",
    METADATA,
    Column("fingerprint", LABEL, primary_key=True),
    Column("document", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    comment="Every plan ever stored, as it was first stored; never changed, never deleted",
)

PLAN_NAMES = Table(
    "plan_names",
    METADATA,
    Column("name", LABEL, primary_key=True),
    Column("fingerprint", LABEL, ForeignKey(PLAN_CONTENTS.c.fingerprint), nullable=False),
    Column("document", Text, nullable=False),
    comment="What each name points to; description and provenance, outside the fingerprint, are the name's",
)

EXPERT_SETS = Table(
    "expert_sets",
    METADATA,
    Column("name", LABEL, primary_key=True),
    Column("fingerprint", LABEL, nullable=False),
    Column("document", Text, nullable=False),
    comment="Named experts of a model; a name that is put again has the new content alone",
)

POLICY = Table(
    "policy",
    METADATA,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)

IMPORTED_FILES = Table(
    "imported_files",
    METADATA,
    Column("file", LABEL, primary_key=True),
    Column("sha256", LABEL, primary_key=True),
    comment="Files of the data directory that were taken over; each content is taken over once",
)

MODELS = Table(
    "models",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("fingerprint", LABEL, nullable=False, unique=True),
    Column("layers", Integer, nullable=False),
    Column("experts", Integer, nullable=False),
    Column("top_k", Integer, nullable=False),
    Column("epoch", LABEL, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    comment="What the sums are of; a reset gives a new epoch, began_at is its begin in seconds since 1970",
)

SUMS = Table(
    "sums",
    METADATA,
    Column("id", ROW_ID, primary_key=True),
    Column("model_id", ROW_ID, ForeignKey(MODELS.c.id), nullable=False),
    Column("epoch", LABEL, nullable=False),
    Column("run_id", LABEL, nullable=False),
    Column("bucket_start", BigInteger, nullable=False),
    Column("request_script", LABEL, nullable=False),
    Column("script", LABEL, nullable=False),
    Column("phase", LABEL, nullable=False),
    Column("plan", LABEL, nullable=False),
    Column("tag", LABEL, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("selected", LargeBinary, nullable=False),
    Column("weight_sum", LargeBinary, nullable=False),
    UniqueConstraint("model_id", "epoch", "run_id", "bucket_start", "request_script", "script", "phase", "plan", "tag"),
    comment="What one run counted in one bucket of time, in all; little-endian int64 and float64 [L, E]",
)
