"""Two sides of a comparison: the rows of two groups of any label.

Letters of shapes: N rows.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.identification.errors import IdentificationError

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

SIDE = "side"
FIRST, SECOND = "first", "second"


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared with what.

    Attributes:
        column: A label of the evidence.
        first: Its values on the first side.
        second: On the second; empty for all other values.
        spans: Phases whose tokens are compared; empty for all.
    """

    column: str
    first: tuple[str, ...]
    second: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()

    def split(self, counts: "Counts") -> "Counts":
        """Give the rows of both sides, with the label `side`: `first` or `second`.

        Raises:
            EvidenceError: A side has no rows; the text says which values there are.
            IdentificationError: A value is on both sides, or every token selects every expert.
        """
        if counts.model.selects_all:
            raise IdentificationError(
                f"each token selects all {counts.model.experts} experts of this model, so that routing tells nothing "
                "apart: there is no expert to find"
            )
        if both := sorted(set(self.first) & set(self.second)):
            raise IdentificationError(f"{self.column} {both[0]!r} is on both sides: name two groups")
        spanned = counts.where(phase=self.spans) if self.spans else counts
        others = self.second or tuple(value for value in spanned.values(self.column) if value not in self.first)
        if not others:
            raise IdentificationError(
                f"expected two groups or more by {self.column}, got {', '.join(self.first)} only: nothing to compare "
                "with"
            )
        # Each by itself, so that a side without rows is refused by name.
        for value in (*self.first, *others):
            spanned.where(**{self.column: value})
        for values in (self.first, others):
            if not spanned.where(**{self.column: values}).tokens_N.any():
                raise IdentificationError(
                    f"{self.column} {' or '.join(values)} has no tokens{self._where}: ask more prompts"
                )
        kept = spanned.where(**{self.column: (*self.first, *others)})
        is_first = kept.labels[self.column].is_in(list(self.first)).to_list()
        return kept.with_label(SIDE, [FIRST if each else SECOND for each in is_first])

    @property
    def _where(self) -> str:
        return f" of the phase {' or '.join(self.spans)}" if self.spans else ""

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "by": self.column,
            "first": list(self.first),
            "second": list(self.second) or "others",
            **({"span": list(self.spans)} if self.spans else {}),
        }

    def __str__(self) -> str:
        others = " or ".join(self.second) or "the others"
        return f"{' or '.join(self.first)} against {others}"
