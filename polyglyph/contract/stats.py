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
    layers: int
    experts: int
    top_k: int
    since: str
    until: str
    versions: dict[str, str]
    by: Annotated[tuple[str, ...], Field(strict=False)] = ("request_script", "script", "phase", "plan", "tag")


class StatsGroup(Document):
    """The sums of one group.

    `selected` is int64 [layers, experts], `weight_sum` float64 of the same shape; `group_tokens` is the number of
    tokens that the engine computed for the group.
    """

    request_script: str
    phase: Phase
    plan: str
    tag: str
    group_tokens: int
    selected: ArrayDocument
    weight_sum: ArrayDocument


class Stats(Document):
    """All groups since the last reset, `polyglyph.stats/1` in JSON."""

    schema_: Literal["polyglyph.stats/1"] = Field(default="polyglyph.stats/1", alias="schema")
    model_fingerprint: str
    layers: int
    experts: int
    top_k: int
    since: str
    until: str
    versions: dict[str, str]
    overflow_tokens: int
    groups: Annotated[tuple[StatsGroup, ...], Field(strict=False)]
