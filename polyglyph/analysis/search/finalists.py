"""Finalists: the best trials once more, on every development item that they are to mend, against no steering."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyglyph.analysis.evaluation.plan_set import Pair
from polyglyph.analysis.search.candidate import Candidate
from polyglyph.analysis.search.direction import DirectionKind
from polyglyph.analysis.search.objective import Bench, Measured
from polyglyph.analysis.search.sample import Sample
from polyglyph.analysis.search.study import TrialRecord

FACTORS = (0.5, 0.7, 0.85, 1.2, 1.4)
"""Of a pair's strengths, beside 1, where each pair may have its own."""
AWAY_FACTORS = (1.0, 1.5, 2.0)
LEAST_GAIN = 0.03
"""Share of a pair's questions that a factor of its own must mend: one or two of sixty are chance."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Finalist:
    """A candidate on all development aims, and guards.

    Attributes:
        candidate: What was tried.
        measured: What came of it.
        value: The objective.
    """

    candidate: Candidate
    measured: Measured
    value: float

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "parameters": self.candidate.to_json(),
            "objective": round(self.value, 5),
            **self.measured.to_json(),
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Final:
    """The end of a search.

    Attributes:
        unsteered: The same items without steering.
        finalists: Best first.
        away: The best candidate that needs no source; None where none was tried.
    """

    unsteered: Measured
    finalists: tuple[Finalist, ...]
    away: Finalist | None

    @property
    def chosen(self) -> Finalist | None:
        """The best finalist; None where nothing beats no steering."""
        best = self.finalists[0] if self.finalists else None
        return best if best and best.value > self.unsteered.value(self.unsteered, guard_weight=0.0) else None


async def hold_final(
    bench: Bench, development: Sample, records: Sequence[TrialRecord], *, num_finalists: int, guard_weight: float
) -> Final:
    """Ask the best trials, and the best way that needs no source, all that they are to mend.

    Args:
        bench: Tries candidates.
        development: All development aims, and guards.
        records: The trials.
        num_finalists: How many of them that were asked the whole sample.
        guard_weight: Of the objective.
    """
    unsteered = await bench.measure(None, development)

    async def asked(candidate: Candidate) -> Finalist:
        measured = await bench.measure(candidate, development)
        return Finalist(
            candidate=candidate, measured=measured, value=measured.value(unsteered, guard_weight=guard_weight)
        )

    best = _best(records)
    finalists = [await asked(candidate) for candidate in best[:num_finalists]]
    finalists.sort(key=lambda finalist: -finalist.value)
    known = {str(finalist.candidate.to_json()): finalist for finalist in finalists}
    away = [known.get(str(candidate.to_json())) or await asked(candidate) for candidate in _away(best, finalists)]
    return Final(
        unsteered=unsteered,
        finalists=tuple(finalists),
        away=max(away, key=lambda finalist: finalist.value, default=None),
    )


async def fit_pairs(bench: Bench, development: Sample, chosen: Finalist) -> dict[Pair, float]:
    """Give each pair the factor of the strengths that answers most of its questions right, if it is clearly not 1.

    Args:
        bench: Tries candidates.
        development: All development aims; its guards are left out.
        chosen: What is scaled.
    """
    aims = Sample(aims=development.aims, guards=())
    tried = {1.0: chosen.measured}
    for factor in FACTORS:
        tried[factor] = await bench.measure(chosen.candidate.scaled(factor), aims)

    return {pair: _factor({factor: measured.rate(pair) for factor, measured in tried.items()}) for pair in bench.pairs}


def _factor(rates: Mapping[float, float]) -> float:
    """Give the factor with the highest rate, the nearest to 1 of equals; 1 where it gains too little."""
    best = max(rates, key=lambda factor: (rates[factor], -max(factor, 1 / factor)))
    return best if rates[best] - rates[1.0] >= LEAST_GAIN else 1.0


def _best(records: Sequence[TrialRecord]) -> list[Candidate]:
    """Give the candidates of the trials that were asked the whole sample, best first, each once."""
    whole = [record for record in records if record.is_whole and record.candidate is not None]
    whole.sort(key=lambda record: (-record.value, record.number))
    by_content = {str(record.candidate.to_json()): record.candidate for record in reversed(whole) if record.candidate}
    return list(reversed(by_content.values()))


def _away(best: Sequence[Candidate], finalists: Sequence[Finalist]) -> list[Candidate]:
    """Give what is tried without a source: the best such trial, and the winner with its direction exchanged.

    The mean of several scripts is flatter than one of them, so the exchanged direction is tried stronger as well.
    """
    tried = [candidate for candidate in best if candidate.kind is DirectionKind.AWAY][:1]
    exchanged = (finalist.candidate.with_kind(DirectionKind.AWAY) for finalist in finalists[:1])
    return [*tried, *(candidate.scaled(factor) for candidate in exchanged for factor in AWAY_FACTORS)]
