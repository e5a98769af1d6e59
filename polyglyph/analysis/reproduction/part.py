"""Parts: a claim in one setting, with the figures that decide it, and the verdict of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from polyglyph.analysis.reproduction.paper import Threshold
from polyglyph.analysis.statistics.figure import Figure

Verdict = Literal["reached", "in part", "not reached", "not judged"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A claim in one setting.

    Attributes:
        name: The setting.
        thresholds: All of them have to be reached.
        figures: By the thresholds' names.
        decides: Whether the verdict rests on it; else it is told beside.
        over_random: What the method has over the mean of its random controls, positive in the claimed direction.
        beside: Further figures by words, which decide nothing.
        note: What there is to say of it.
    """

    name: str
    thresholds: tuple[Threshold, ...]
    figures: Mapping[str, Figure]
    decides: bool = True
    over_random: Figure | None = None
    beside: Mapping[str, Figure] = field(default_factory=dict)
    note: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Whether all thresholds are reached; None where none is missed, and some cannot be judged."""
        judged = [threshold.is_reached(self.figures[threshold.name]) for threshold in self.thresholds]
        if False in judged:
            return False
        return None if None in judged else True

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "part": self.name,
            "decides": self.decides,
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "reached": self.is_reached,
            **({} if self.over_random is None else {"over_random": self.over_random.to_json()}),
            **({"beside": {words: figure.to_json() for words, figure in self.beside.items()}} if self.beside else {}),
            **({"note": self.note} if self.note else {}),
        }


def verdict_of(parts: Sequence[Part]) -> Verdict:
    """Give the verdict of the parts that decide: reached in all, in some or in none of them."""
    judged = [part.is_reached for part in parts if part.decides]
    if not judged or None in judged:
        return "not judged"
    if all(judged):
        return "reached"
    return "in part" if any(judged) else "not reached"
