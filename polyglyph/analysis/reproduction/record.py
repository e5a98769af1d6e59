"""The record of a reproduction: what was found and measured, with which versions and machine, and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from polyglyph.analysis.reproduction.paper import Paper
from polyglyph.analysis.reproduction.part import Part, Verdict, verdict_of
from polyglyph.analysis.statistics.figure import Estimate

SCHEMA = "polyglyph.reproduction/1"
Beats = Literal["yes", "in part", "no", "not judged"]


@dataclass(frozen=True, kw_only=True)
class Reproduced:
    """What came of a reproduction.

    Attributes:
        paper: What was to be shown.
        parts: The claim in each setting.
        arms: As `Measured` gives them, by the name of the experiment.
        found: What was identified, by experiment: experts and statistics, plain JSON types.
        tried: Variants that were tried and are not in the verdict, a sentence each.
        notes: What to know before believing it.
    """

    paper: Paper
    parts: Sequence[Part]
    arms: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)
    tried: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether the claim holds here."""
        return verdict_of(self.parts)

    @property
    def beats_random(self) -> Beats:
        """Whether the method has more than its random controls in the parts that decide, by intervals."""
        figures = [part.over_random for part in self.parts if part.decides and part.over_random is not None]
        judged = [figure.is_above_zero for figure in figures if isinstance(figure, Estimate)]
        if not judged:
            return "not judged"
        return "yes" if all(judged) else "in part" if any(judged) else "no"

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        thresholds = {threshold.name: threshold.to_json() for part in self.parts for threshold in part.thresholds}
        return {
            "paper": self.paper.to_json(),
            "verdict": self.verdict,
            "beats_random": self.beats_random,
            "thresholds": thresholds,
            "parts": [part.to_json() for part in self.parts],
            "found": dict(self.found),
            "arms": dict(self.arms),
            "tried": list(self.tried),
            "notes": list(self.notes),
        }


def record_of(name: str, reproduced: Reproduced, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Give the document that is written.

    Args:
        name: On the command line.
        reproduced: What came of it.
        facts: Of the run: model, versions, hardware, seconds and so on.
    """
    return {"schema": SCHEMA, "name": name, **reproduced.to_json(), "run": dict(facts)}
