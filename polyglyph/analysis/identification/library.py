"""`library`: kinds of prompts by their routing in early layers, as a policy's pattern library (PreMoe, 2505.17639).

Letters of shapes: N sequences, L MoE layers, E experts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from polyglyph.analysis.rules.patterns import Retrieval, library_of, retrieve_held_out
from polyglyph.analysis.statistics.wilson import Score
from polyglyph.contract.model import ModelBinding
from polyglyph.contract.pattern_library import PatternLibrary
from polyglyph.contract.policy import PolicyTarget

if TYPE_CHECKING:
    from polyglyph.analysis.evidence.counts import Counts

LOW_PERCENTILE = 5.0


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of prompts.

    Attributes:
        name: Of the pattern.
        num_prompts: Sequences, or rows of sums where sequences cannot be told apart.
        num_tokens: Tokens that its shares are of.
        plan: What such prompts get; None for no steering.
        held_out: How often the nearest pattern was this one, in libraries that had not seen the prompt's item; None
            where that cannot be measured.
        low_similarity: Cosine that 95 % of those that were told right reach; None where there are none.
    """

    name: str
    num_prompts: int
    num_tokens: int
    plan: PolicyTarget | None
    held_out: Score | None
    low_similarity: float | None

    def to_json(self) -> dict[str, Any]:
        """Give the row as plain JSON types."""
        return {
            "kind": self.name,
            "prompts": self.num_prompts,
            "tokens": self.num_tokens,
            "plan": None if self.plan is None else self.plan.model_dump(mode="json", exclude_none=True),
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            "low_similarity": self.low_similarity,
        }


@dataclass(frozen=True, kw_only=True)
class FoundLibrary:
    """A library, and what is known of it.

    Attributes:
        library: As a server takes it.
        kinds: By name.
        notes: What cannot be computed, a sentence each.
    """

    library: PatternLibrary
    kinds: tuple[Kind, ...]
    notes: tuple[str, ...]


def find_library(
    counts: "Counts",
    *,
    model: ModelBinding,
    column: str,
    layers: Sequence[int],
    plans: Mapping[str, PolicyTarget],
    span: Sequence[str] = ("prompt",),
    min_similarity: float = 0.0,
) -> FoundLibrary:
    """Make a library of labelled prompts.

    Args:
        counts: The evidence, unsteered: a server compares routing that no edit has touched.
        model: What was counted.
        column: Label that tells the kinds apart.
        layers: MoE layers to compare.
        plans: What prompts of a kind get; kinds without one are not steered.
        span: Phases whose tokens count; a server compares the prompt's.
        min_similarity: Cosine from which on the nearest pattern counts.

    Raises:
        EvidenceError: There is no such label, or no unsteered token of these phases.
        RuleError: A plan is of no kind, or a layer is none of the model's.
        RequestError: The library is none that a server takes.
    """
    rows = counts.where(phase=tuple(span), plan="").summed_by("sequence", column)
    groups = rows.by(column)
    selected = dict(zip(groups.names, groups.selected_GLE, strict=True))
    library = library_of(selected, model=model, layers=layers, plans=plans, min_similarity=min_similarity)
    notes: tuple[str, ...] = ()
    retrieval = None
    if not rows.has_sequences:
        notes = ("the evidence is sums, in which prompts cannot be told apart: how well kinds are told is not known",)
    elif missing := _single_item(rows, column):
        notes = (f"the kind '{missing}' has one item only, so that nothing can be held out",)
    elif len(groups.names) > 1:
        items = rows.labels["item"].to_list()
        retrieval = retrieve_held_out(rows.selected_NLE, rows.labels[column].to_list(), items, layers=layers)
    of_rows = np.array(rows.labels[column].to_list(), dtype=object)
    kinds = tuple(
        _kind(name, of_rows == name, int(tokens), plan=plans.get(name), retrieval=retrieval)
        for name, tokens in zip(groups.names, groups.tokens_G, strict=True)
    )
    return FoundLibrary(library=library, kinds=kinds, notes=notes)


def _kind(name: str, is_of_N: Any, num_tokens: int, *, plan: PolicyTarget | None, retrieval: Retrieval | None) -> Kind:
    score, low = None, None
    if retrieval is not None:
        right_N = retrieval.is_right_N[is_of_N]
        score = Score(int(right_N.sum()), len(right_N))
        if right_N.any():
            low = float(np.percentile(retrieval.similarity_N[is_of_N][right_N], LOW_PERCENTILE))
    return Kind(
        name=name,
        num_prompts=int(is_of_N.sum()),
        num_tokens=num_tokens,
        plan=plan,
        held_out=score,
        low_similarity=low,
    )


def _single_item(rows: "Counts", column: str) -> str | None:
    items: dict[str, set[str]] = {}
    for kind, item in zip(rows.labels[column].to_list(), rows.labels["item"].to_list(), strict=True):
        items.setdefault(kind, set()).add(item)
    return next((kind for kind, of_kind in sorted(items.items()) if len(of_kind) < 2), None)
