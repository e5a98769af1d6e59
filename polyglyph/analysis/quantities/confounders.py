"""Confounders: what else differs between groups and may be why their routing does (methods section 2).

Resource level: bytes and tokens per parallel item; a script that the tokenizer cuts into many tokens is one that the
model saw little of. Vocabulary overlap: groups with few tokens in common may differ in tokens and not in script.

Letters of shapes: V tokens of the vocabulary.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace
from polyglyph.analysis.evidence.trace_counts import PROMPT_BYTES
from polyglyph.analysis.quantities.reasons import NO_PARALLEL_ITEMS, NO_SEQUENCES, NO_VOCABULARY
from polyglyph.analysis.statistics.figure import Missing
from polyglyph.contract.plan import PHASES

Quantity = float | Missing
NO_BYTES = "needs a labelled run with the prompts' texts"


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What two groups' tokens have in common.

    Attributes:
        jaccard: Different tokens of both over different tokens of either, 0 to 1.
        weighted: Sum over tokens of the smaller of the two relative frequencies, 0 to 1.
    """

    jaccard: Quantity
    weighted: Quantity

    def to_json(self) -> dict[str, Any]:
        """Give both as plain JSON types."""
        return {"jaccard": _json(self.jaccard), "weighted": _json(self.weighted)}


@dataclass(frozen=True, kw_only=True)
class Confounders:
    """What to read beside a claim about groups.

    Attributes:
        column: The label that tells the groups apart.
        tokens_per_item: Of each group, over the items that all groups have.
        bytes_per_item: Likewise, UTF-8 bytes of the prompt.
        overlap: Of each two groups, sorted by name.
        num_items: Items that all groups have.
    """

    column: str
    tokens_per_item: Mapping[str, Quantity]
    bytes_per_item: Mapping[str, Quantity]
    overlap: Mapping[tuple[str, str], Overlap]
    num_items: int = 0

    def to_json(self) -> dict[str, Any]:
        """Give all as plain JSON types; pairs are keyed `first,second`."""
        return {
            "column": self.column,
            "parallel_items": self.num_items,
            "tokens_per_item": {name: _json(value) for name, value in self.tokens_per_item.items()},
            "bytes_per_item": {name: _json(value) for name, value in self.bytes_per_item.items()},
            "token_overlap": {",".join(pair): overlap.to_json() for pair, overlap in self.overlap.items()},
        }


@dataclass
class Vocabularies:
    """How often each token occurs in each group, counted trace by trace.

    Attributes:
        column: The label that tells groups apart: `script`, `phase`, `request_script`, `plan`, `tag`, `item` or one of
            the user's own.
        counts: By group, by token id.
    """

    column: str
    counts: dict[str, Counter[int]] = field(default_factory=dict)

    def add(self, labelled: LabelledTrace) -> None:
        """Count a sequence's computed tokens; tokens that came as embeddings have no id."""
        trace = labelled.trace
        wanted = trace.computed & (trace.token_ids >= 0)
        for group, token in zip(
            np.array(_groups(labelled, self.column), dtype=object)[wanted],
            trace.token_ids[wanted].tolist(),
            strict=True,
        ):
            self.counts.setdefault(group, Counter())[token] += 1

    def overlap(self, first: str, second: str) -> Overlap:
        """Compare two groups; missing where one has no tokens with ids."""
        one, other = self.counts.get(first), self.counts.get(second)
        if not one or not other:
            return Overlap(jaccard=Missing(NO_VOCABULARY), weighted=Missing(NO_VOCABULARY))
        num_one, num_other = one.total(), other.total()
        shared = one.keys() & other.keys()
        return Overlap(
            jaccard=len(shared) / len(one.keys() | other.keys()),
            weighted=sum(min(one[token] / num_one, other[token] / num_other) for token in shared),
        )


def confounders(
    counts: Counts, column: str, groups: Sequence[str], *, traces: Iterable[LabelledTrace] = ()
) -> Confounders:
    """Measure the confounders of some groups.

    Args:
        counts: What was observed.
        column: The label that tells the groups apart.
        groups: Its values, two or more.
        traces: The same evidence token by token, for the vocabulary; none where there are only sums.
    """
    vocabularies = Vocabularies(column)
    for labelled in traces:
        vocabularies.add(labelled)
    items, why = _parallel_items(counts, column, groups)
    names = sorted(groups)
    return Confounders(
        column=column,
        tokens_per_item={name: _tokens_per_item(counts, column, name, items, why) for name in names},
        bytes_per_item={name: _bytes_per_item(counts, column, name, items, why) for name in names},
        overlap={
            (first, second): vocabularies.overlap(first, second)
            for number, first in enumerate(names)
            for second in names[number + 1 :]
        },
        num_items=len(items),
    )


def _groups(labelled: LabelledTrace, column: str) -> Sequence[str]:
    trace = labelled.trace
    if column == "script":
        return trace.scripts
    if column == "phase":
        return [PHASES[phase] for phase in trace.phases]
    own = {"sequence": labelled.sequence, "item": labelled.item, "plan": trace.plan, "tag": trace.tag}
    value = {**labelled.labels, **own, "request_script": trace.request_script}.get(column, "")
    return [value] * trace.num_tokens


def _parallel_items(counts: Counts, column: str, groups: Sequence[str]) -> tuple[list[str], str]:
    """Give the items that all groups have, and why there are none."""
    if not counts.has_sequences:
        return [], NO_SEQUENCES
    of_groups = [set(counts.where(**{column: name}).labels["item"].to_list()) for name in groups]
    shared = set.intersection(*of_groups)
    return sorted(shared), "" if shared else NO_PARALLEL_ITEMS


def _tokens_per_item(counts: Counts, column: str, name: str, items: list[str], why: str) -> Quantity:
    if not items:
        return Missing(why)
    return float(counts.where(**{column: name}, item=items).tokens_N.sum()) / len(items)


def _bytes_per_item(counts: Counts, column: str, name: str, items: list[str], why: str) -> Quantity:
    if not items:
        return Missing(why)
    if PROMPT_BYTES not in counts.labels.columns:
        return Missing(NO_BYTES)
    rows = counts.where(**{column: name}, item=items).labels.select("sequence", PROMPT_BYTES).unique()
    if (rows[PROMPT_BYTES] == "").any():
        return Missing(NO_BYTES)
    return float(rows[PROMPT_BYTES].cast(int).sum()) / len(items)


def _json(value: Quantity) -> float | dict[str, Any]:
    return value.to_json() if isinstance(value, Missing) else round(value, 5)
