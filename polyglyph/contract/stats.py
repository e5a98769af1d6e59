"""The stats document: sums over tokens, by group, layer and expert (design section 8)."""

from typing import Annotated, Literal

from pydantic import Field

from polyglyph.contract.base import Document
from polyglyph.contract.plan import Phase
from polyglyph.contract.routing import ArrayDocument


class StatsHeader(Document):
    """What a set of sums is of; sums with another model, shape or `by` do not add up.

    Args of note:
        since: Begin of the first interval counted (ISO 8601, UTC).
        until: When the sums were read.
        by: Columns that the groups are told apart by; the others were summed away.
    """

    schema_: Literal["polyglyph.stats/1"] = Field(default="polyglyph.stats/1", alias="schema")
    model_fingerprint: str
    layers: int = Field(ge=1)
    experts: int = Field(ge=1)
    top_k: int = Field(ge=1)
    since: str
    until: str
    versions: dict[str, str]
    by: Annotated[tuple[str, ...], Field(strict=False)] = ("request_script", "script", "phase", "plan", "tag")


class StatsGroup(Document):
    """The sums of one group; a column that was summed away reads `*`.

    `selected` is int64 [layers, experts], `weight_sum` float64 of the same shape. `group_tokens` is the number of
    tokens that the engine computed for the group; `cached_tokens` are prompt tokens served from the prefix cache,
    which are in no other sum.
    """

    request_script: str
    script: str
    phase: Phase | Literal["*"]
    plan: str
    tag: str
    group_tokens: int = Field(ge=0)
    cached_tokens: int = Field(ge=0)
    selected: ArrayDocument
    weight_sum: ArrayDocument


class Stats(StatsHeader):
    """All groups, `polyglyph.stats/1` in JSON.

    `overflow_tokens` are the tokens for which no group of their own was free; they are in the groups with tag
    `overflow`. None where the columns that tell them were summed away.
    """

    overflow_tokens: int | None
    groups: Annotated[tuple[StatsGroup, ...], Field(strict=False)]
