"""Compares what the server counted with what its answers said: no token lost, none counted twice."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from polyglyph.clients.profile.usage import Usage

if TYPE_CHECKING:
    from polyglyph.contract.stats import Stats


@dataclass(frozen=True)
class Counted:
    """What the server counted under one tag.

    Attributes:
        tokens: Tokens that were computed.
        cached_tokens: Prompt tokens from the prefix cache.
        selections: Selections of experts, over all layers.
    """

    tokens: int = 0
    cached_tokens: int = 0
    selections: int = 0

    def __add__(self, other: Self) -> "Counted":
        return Counted(
            self.tokens + other.tokens,
            self.cached_tokens + other.cached_tokens,
            self.selections + other.selections,
        )

    def __sub__(self, other: Self) -> "Counted":
        return Counted(
            self.tokens - other.tokens,
            self.cached_tokens - other.cached_tokens,
            self.selections - other.selections,
        )


@dataclass(frozen=True)
class Reconciliation:
    """One tag: what the answers said, and by how much the server's sums grew meanwhile.

    Attributes:
        tag: The tag.
        passed_tokens: Prompt tokens and generated ones less each request's last, as the answers said.
        counted: Growth of the server's sums.
        selections_per_token: Layers times top-k.
        is_unsure: Some request may have been computed without an answer that came, so that more may be counted.
    """

    tag: str
    passed_tokens: int
    counted: Counted
    selections_per_token: int
    is_unsure: bool

    @property
    def surplus(self) -> int:
        """Tokens that the server counted beyond those of the answers; negative when some are missing."""
        return self.counted.tokens + self.counted.cached_tokens - self.passed_tokens

    @property
    def holds(self) -> bool:
        """Whether the sums are exact; where requests were sent again, whether nothing is missing."""
        is_whole = self.counted.selections == self.counted.tokens * self.selections_per_token
        return is_whole and (self.surplus == 0 or (self.is_unsure and self.surplus > 0))

    def __str__(self) -> str:
        name = f"tag {self.tag}" if self.tag else "no tag"
        computed, cached = self.counted.tokens, self.counted.cached_tokens
        sums = f"{name}: {computed} computed + {cached} cached = {computed + cached} counted"
        if self.counted.selections != computed * self.selections_per_token:
            return f"{sums}, but {self.counted.selections} selections, not {computed} x {self.selections_per_token}"
        if self.surplus == 0:
            return f"{sums} = {self.passed_tokens} sent"
        why = "requests were sent again" if self.is_unsure else "do others use this tag?"
        return f"{sums}, {abs(self.surplus)} {'more' if self.surplus > 0 else 'fewer'} than sent ({why})"


def counted_by_tag(stats: "Stats") -> dict[str, Counted]:
    """Add up a stats document by tag."""
    sums: dict[str, Counted] = {}
    for group in stats.groups:
        counted = Counted(group.group_tokens, group.cached_tokens, int(group.selected.to_numpy().sum()))
        sums[group.tag] = sums.get(group.tag, Counted()) + counted
    return sums


def reconcile(
    before: Mapping[str, Counted],
    after: Mapping[str, Counted],
    usage: Mapping[str, Usage],
    *,
    selections_per_token: int,
    is_unsure: bool,
) -> tuple[Reconciliation, ...]:
    """Compare the growth of each tag's sums with the answers' usage."""
    return tuple(
        Reconciliation(
            tag,
            used.passed_tokens,
            after.get(tag, Counted()) - before.get(tag, Counted()),
            selections_per_token,
            is_unsure,
        )
        for tag, used in sorted(usage.items())
    )


def is_settled(reconciliations: Collection[Reconciliation]) -> bool:
    """Whether looking again is of no use: everything that was sent has been counted."""
    return all(found.holds and found.surplus >= 0 for found in reconciliations)
