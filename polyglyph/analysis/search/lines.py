"""What a search says of itself, as lines of text."""

from collections.abc import Iterator
from typing import Any

from polyglyph.analysis.search.candidate import Candidate
from polyglyph.analysis.search.direction import Operation
from polyglyph.analysis.search.search import Outcome
from polyglyph.analysis.search.study import TrialRecord


def trial_line(record: TrialRecord) -> str:
    """Give one trial's line."""
    what = "no steering" if record.candidate is None else candidate_text(record.candidate)
    right, asked = record.aims
    kept, guards = record.guards
    end = "" if record.is_whole else "  given up"
    return (
        f"{record.number:3d}  {right / max(asked, 1):6.1%} of {asked}, guards {kept / max(guards, 1):6.1%}  {what}{end}"
    )


def candidate_text(candidate: Candidate) -> str:
    """Give a candidate in a few words."""
    if candidate.operation is Operation.ADD_STD:
        where = ", ".join(f"{band} {strength:.2f}" for band, strength in candidate.strengths.items())
    else:
        where = f"{candidate.operation} {candidate.num_experts} in {'+'.join(candidate.strengths)}"
    return f"{candidate.kind}, {where}, {'+'.join(candidate.phases)}"


def lines_of(outcome: Outcome) -> Iterator[str]:
    """Give a search's result, all of it measured on development items."""
    final = outcome.final
    yield f"unsteered  {_share(final.unsteered.to_json())}"
    for finalist in final.finalists:
        yield f"finalist   {_share(finalist.measured.to_json())}  {candidate_text(finalist.candidate)}"
    if final.chosen is None:
        yield "no plan is better than none on these items: none is written"
        return
    yield f"chosen     {candidate_text(final.chosen.candidate)}"
    for trial in outcome.rules:
        guessed = "" if trial.guess_rate is None else f", guesses {trial.guess_rate:.1%} right"
        yield f"rule       {_share(trial.measured.to_json())}  {trial.rule.name}{guessed}"
    for name, reason in outcome.left_out.items():
        yield f"no rule {name}: {reason}"


def _share(figures: dict[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', '-')} {found['rate']:.1%} of {found['asked']}"
        for name, found in figures.items()
        if found["asked"]
    )
