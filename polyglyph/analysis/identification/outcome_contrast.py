"""The contrast of outcomes within facts: how a model routes a question it answers, less how it routes one it misses.

Letters of shapes: N rows, Q requests' sequences, F facts, L MoE layers, E experts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.labels import PROMPT_SCRIPT
from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.sides import Sides

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

PHASE = "prompt"
RIGHT, WRONG = "true", "false"

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class OutcomeContrast:
    """Facts that are answered in one script and missed in another.

    Attributes:
        facts: Their items.
        difference_FLE: Mean frequency of the sequences answered, less that of those missed.
        num_answered: Answered sequences by request script, of these facts.
        num_missed: Missed ones.
        num_one_sided: Facts left out because they are answered or missed in every script.
        num_unlabelled: Sequences without the label.
    """

    facts: tuple[str, ...]
    difference_FLE: Array
    num_answered: Counter[str]
    num_missed: Counter[str]
    num_one_sided: int
    num_unlabelled: int


def contrast_outcomes(counts: "Counts") -> OutcomeContrast:
    """Contrast the prompts of each fact by whether they were answered.

    Every sequence counts alike, however many tokens its script takes.

    Args:
        counts: Of a labelled run: with `item`, and `right` as `true` or `false`.

    Raises:
        IdentificationError: Sequences or outcomes are not told apart, there is one script only, or no fact has both
            outcomes.
    """
    sequences = _sequences(counts)
    by_fact: dict[str, dict[str, list[int]]] = {}
    num_unlabelled = 0
    for index, (item, right) in enumerate(zip(sequences.items, sequences.rights, strict=True)):
        if right in {RIGHT, WRONG}:
            by_fact.setdefault(item, {RIGHT: [], WRONG: []})[right].append(index)
        else:
            num_unlabelled += 1
    both = {item: sides for item, sides in sorted(by_fact.items()) if all(sides.values())}
    if not both:
        raise IdentificationError(
            f"expected facts that are answered in one script and missed in another, got none: of {len(by_fact)} facts, "
            f"{sum(not sides[WRONG] for sides in by_fact.values())} are answered in every script that was asked and "
            f"{sum(not sides[RIGHT] for sides in by_fact.values())} in none"
        )
    used = [index for sides in both.values() for side in sides.values() for index in side]
    scripts = {sequences.scripts[index] for index in used}
    if len(scripts) < 2:
        raise IdentificationError(
            f"expected facts asked in two scripts or more, got {', '.join(sorted(scripts))} only: what differs between "
            "outcomes within one script is no inconsistency of scripts"
        )
    return OutcomeContrast(
        facts=tuple(both),
        difference_FLE=np.stack([_difference(sequences.frequencies_QLE, sides) for sides in both.values()]),
        num_answered=Counter(sequences.scripts[index] for sides in both.values() for index in sides[RIGHT]),
        num_missed=Counter(sequences.scripts[index] for sides in both.values() for index in sides[WRONG]),
        num_one_sided=len(by_fact) - len(both),
        num_unlabelled=num_unlabelled,
    )


def asked_column(counts: "Counts") -> str:
    """Give the label that says in which script was asked: a run's own, or the dominant script of the user's text."""
    return PROMPT_SCRIPT if PROMPT_SCRIPT in counts.labels.columns else "request_script"


def asked_scripts(counts: "Counts", names: Sequence[str] | None = None) -> Sides:
    """Give the scripts that were asked in, to be compared with one another; all unless some are named."""
    column = asked_column(counts)
    first, *others = sorted(set(names or counts.values(column)))
    return Sides(column=column, first=(first,), second=tuple(others))


@dataclass(frozen=True, eq=False)
class _Sequences:
    """The prompts, one by one."""

    items: list[str]
    rights: list[str]
    scripts: list[str]
    frequencies_QLE: Array


def _sequences(counts: "Counts") -> _Sequences:
    if not counts.has_sequences:
        raise IdentificationError(
            "expected a labelled run or traces with labels, got sums, in which no fact's answer is told from another's"
        )
    if "right" not in counts.labels.columns:
        raise IdentificationError(
            "expected the label 'right' (whether the answer was), got labels without: ask the questions again with "
            "'expected' answers, or name a --labels file that says it"
        )
    labels = counts.labels
    prompt_N = (labels["phase"] == PHASE).to_numpy() & (labels["plan"] == "").to_numpy() & (counts.tokens_N > 0)
    if not prompt_N.any():
        raise IdentificationError("the traces hold no unsteered prompt token that was computed")
    rows = np.flatnonzero(prompt_N)
    names, first_Q, member = np.unique(
        labels["sequence"].to_numpy()[rows].astype(str), return_index=True, return_inverse=True
    )
    tokens_Q = np.bincount(member, counts.tokens_N[rows], len(names))
    selected_QLE = np.zeros((len(names), *counts.selected_NLE.shape[1:]))
    np.add.at(selected_QLE, member, counts.selected_NLE[rows])
    at = rows[first_Q]
    asked = asked_column(counts)
    return _Sequences(
        items=[labels["item"][int(row)] for row in at],
        rights=[labels["right"][int(row)] for row in at],
        scripts=[labels[asked][int(row)] for row in at],
        frequencies_QLE=selected_QLE / tokens_Q[:, None, None],
    )


def _difference(frequencies_QLE: Array, sides: dict[str, list[int]]) -> Array:
    answered_LE: Array = frequencies_QLE[sides[RIGHT]].mean(axis=0)
    missed_LE: Array = frequencies_QLE[sides[WRONG]].mean(axis=0)
    return answered_LE - missed_LE
