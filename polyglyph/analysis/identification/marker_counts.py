"""Counts of markers: how many tokens of each class select each expert, by sequence.

Letters of shapes: S sequences, C classes of markers, L MoE layers, E experts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.identification.errors import IdentificationError
from polyglyph.analysis.identification.identified import Shape
from polyglyph.analysis.identification.markers import Marker
from polyglyph.analysis.identification.token_selections import count_selections, unsteered
from polyglyph.analysis.identification.token_texts import TokenTexts
from polyglyph.contract.trace import SequenceTrace

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class MarkerCounts:
    """What `npmi` rests on.

    Attributes:
        model: Whose selections they are.
        markers: The classes.
        clusters: Of each sequence, the item it belongs to: parallel ones are drawn together.
        tokens_S: Tokens of each sequence that the model routed by itself.
        markers_SC: Tokens of each class among them.
        active_SLE: Tokens that select each expert.
        hits_SCLE: Tokens of each class that do.
        num_left_out: Tokens that steering or the prefix cache left nothing to count of.
    """

    model: Shape
    markers: tuple[Marker, ...]
    clusters: tuple[str, ...]
    tokens_S: Integers
    markers_SC: Integers
    active_SLE: Integers
    hits_SCLE: Integers
    num_left_out: int


def count_markers(
    traces: Iterable[tuple[str, SequenceTrace]],
    markers: Sequence[Marker],
    *,
    model: Shape,
    texts: TokenTexts | None = None,
) -> MarkerCounts:
    """Count the tokens of traces.

    Args:
        traces: Each with the item it belongs to. A marker's text is searched in whole sequences, what is not counted
            included.
        markers: The classes, at least one.
        model: Of the traces.
        texts: The tokenizer, for markers that are told by text.

    Raises:
        IdentificationError: No token is left, a class has no token, or has every one.
    """
    rows, left_out = [], 0
    for item, trace in traces:
        own_n = unsteered(trace)
        left_out += int((~own_n).sum())
        if own_n.any():
            marked = [own_n & marker.tokens_of(trace, texts) for marker in markers]
            counts = [count_selections(trace, each, num_experts=model.experts) for each in (own_n, *marked)]
            rows.append((item, int(own_n.sum()), [int(each.sum()) for each in marked], counts))
    if not rows:
        raise IdentificationError("the traces hold no token that was computed and not steered")
    selected = np.array([counts for *_, counts in rows])
    found = MarkerCounts(
        model=model,
        markers=tuple(markers),
        clusters=tuple(item for item, *_ in rows),
        tokens_S=np.array([tokens for _, tokens, _, _ in rows]),
        markers_SC=np.array([marked for _, _, marked, _ in rows]).reshape(len(rows), len(markers)),
        active_SLE=selected[:, 0],
        hits_SCLE=selected[:, 1:],
        num_left_out=left_out,
    )
    _check(found)
    return found


def _check(counts: MarkerCounts) -> None:
    tokens = int(counts.tokens_S.sum())
    for marker, number in zip(counts.markers, counts.markers_SC.sum(axis=0).tolist(), strict=True):
        where = f"marker {marker.name!r} ({marker.kind} {marker.what!r})"
        if not number:
            raise IdentificationError(f"{where}: none of the {tokens} tokens is one; nothing can go with it")
        if number == tokens:
            raise IdentificationError(f"{where}: all {tokens} tokens are; there are no others to tell them from")
