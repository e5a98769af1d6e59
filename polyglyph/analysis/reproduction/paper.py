"""What a paper claims, as data: its hypothesis, and the thresholds that decide whether it holds here."""

from dataclasses import dataclass
from typing import Any, Literal

from polyglyph.analysis.statistics.figure import Estimate, Figure

Bound = Literal["at least", "above", "below"]


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """What a figure has to reach.

    Attributes:
        name: Of the figure.
        words: What the figure is.
        bound: Which side of the limit it has to be on.
        limit: The number.
        source: `paper`, or `ours` where the paper names none.
        judges_interval: The whole interval has to be there; else the value alone.
    """

    name: str
    words: str
    bound: Bound
    limit: float
    source: Literal["paper", "ours"] = "paper"
    judges_interval: bool = False

    def is_reached(self, figure: Figure) -> bool | None:
        """Judge a figure; None where there is none."""
        if not isinstance(figure, Estimate):
            return None
        if self.bound == "below":
            return (figure.high if self.judges_interval else figure.value) < self.limit
        value = figure.low if self.judges_interval else figure.value
        return value >= self.limit if self.bound == "at least" else value > self.limit

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "words": self.words,
            "bound": self.bound,
            "limit": self.limit,
            "source": self.source,
            "judged_by": "interval" if self.judges_interval else "value",
        }


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What is reproduced.

    Attributes:
        name: What the literature calls it.
        arxiv: Its id.
        method: Whose experts: a name of `polyglyph identify`, or of a quantity.
        claim: The hypothesis, in a sentence about this model.
    """

    name: str
    arxiv: str
    method: str
    claim: str

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {"name": self.name, "arxiv": self.arxiv, "method": self.method, "claim": self.claim}
