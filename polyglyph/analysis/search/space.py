"""The space that is searched, and the recipes that are tried first."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from polyglyph.analysis.search.bands import Band, Bands
from polyglyph.analysis.search.candidate import Candidate
from polyglyph.analysis.search.direction import DirectionKind, Operation
from polyglyph.contract.plan import PHASES, Phase

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

SOURCED = (DirectionKind.RISK_DIFFERENCE, DirectionKind.HOME_MINUS_MEAN)
"""Directions that look at the source: a plan that does not serves all sources, and has no wrong one to control it."""
LOWEST_STRENGTH, HIGHEST_STRENGTH = 0.3, 8.0
JOIN = "+"
PHASE_SETS: dict[str, tuple[Phase, ...]] = {
    JOIN.join(phases): phases for size in range(1, len(PHASES) + 1) for phases in combinations(PHASES, size)
}
"""Every set of phases."""
ALL = JOIN.join(PHASES)


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a search may choose.

    Attributes:
        bands: Layers by band; any non-empty set of the bands that have layers may be steered.
        directions: Which of them may be tried.
        operations: Which of them may be tried.
        max_experts: Most experts per layer that are forced or banned, the model's top-k.
    """

    bands: Bands
    directions: tuple[DirectionKind, ...] = SOURCED
    operations: tuple[Operation, ...] = (Operation.ADD_STD,)
    max_experts: int = 1

    @property
    def band_sets(self) -> tuple[str, ...]:
        """Every non-empty set of bands, `early+late`."""
        present = self.bands.present
        picks = range(1, 2 ** len(present))
        return tuple(JOIN.join(band for bit, band in enumerate(present) if pick >> bit & 1) for pick in picks)

    def suggest(self, trial: "BaseTrial") -> Candidate:
        """Let a trial of Optuna choose."""
        operation = Operation(
            trial.suggest_categorical("operation", [operation.value for operation in self.operations])
        )
        bands = trial.suggest_categorical("bands", list(self.band_sets)).split(JOIN)
        is_added = operation is Operation.ADD_STD
        return Candidate(
            kind=DirectionKind(trial.suggest_categorical("direction", [kind.value for kind in self.directions])),
            operation=operation,
            phases=PHASE_SETS[trial.suggest_categorical("phases", list(PHASE_SETS))],
            strengths={Band(band): _strength(trial, band) if is_added else 1.0 for band in bands},
            num_experts=1 if is_added else trial.suggest_int("num_experts", 1, self.max_experts),
        )

    def recipes(self) -> list[dict[str, Any]]:
        """Give what is tried first, as Optuna's parameters: the literature's and this project's earlier findings."""
        tried = [recipe for recipe in _RECIPES if set(recipe["bands"].split(JOIN)) <= set(self.bands.present)]
        if Operation.ADD_STD not in self.operations:
            return []
        parameters = (_parameters(**recipe) for recipe in tried)
        return [found for found in parameters if found["direction"] in self.directions]

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON types."""
        return {
            "bands": self.bands.to_json(),
            "band_sets": list(self.band_sets),
            "directions": [kind.value for kind in self.directions],
            "operations": [operation.value for operation in self.operations],
            "phases": list(PHASE_SETS),
            "strength": {"low": LOWEST_STRENGTH, "high": HIGHEST_STRENGTH, "scale": "log"},
            "max_experts": self.max_experts,
        }


_RECIPES: Sequence[dict[str, Any]] = (
    {"bands": "early", "phases": "prompt", "strength": 2.0},
    {"bands": "early+late", "phases": "prompt+reasoning", "strength": 2.0},
    {"bands": "early+late", "phases": "prompt+reasoning", "strength": 1.5},
    {"bands": "middle", "phases": ALL, "strength": 0.5},
    {"bands": "early+late", "phases": "prompt+reasoning", "strength": 2.0, "kind": DirectionKind.HOME_MINUS_MEAN},
    {"bands": "early+late", "phases": "prompt+reasoning", "strength": 4.0, "kind": DirectionKind.AWAY},
)


def _parameters(
    *, bands: str, phases: str, strength: float, kind: DirectionKind = DirectionKind.RISK_DIFFERENCE
) -> dict[str, Any]:
    return {
        "operation": Operation.ADD_STD.value,
        "bands": bands,
        "direction": kind.value,
        "phases": phases,
        **{f"strength_{band}": strength for band in bands.split(JOIN)},
    }


def _strength(trial: "BaseTrial", band: str) -> float:
    return float(trial.suggest_float(f"strength_{band}", LOWEST_STRENGTH, HIGHEST_STRENGTH, log=True))
