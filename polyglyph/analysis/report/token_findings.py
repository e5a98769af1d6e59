"""Token findings: what only traces tell. Tokens of each expert, co-activation, and pathways of groups.

Letters of shapes: n tokens, G groups, L MoE layers, E experts, K selected experts, M symbols of a pathway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyglyph.analysis.evidence.counts import Groups
from polyglyph.analysis.quantities import reasons
from polyglyph.analysis.quantities.coactivation import coactivation
from polyglyph.analysis.quantities.pathway import pathway_distance, pathways_of_tokens
from polyglyph.analysis.report.source import shown_value
from polyglyph.analysis.report.token_texts import read_token_texts
from polyglyph.analysis.report.top_tokens import TopTokens, top_tokens_of
from polyglyph.analysis.report.trace_sample import TraceSample
from polyglyph.analysis.statistics.figure import Missing

NO_TRACES = "needs traces: sums do not tell tokens apart"
NO_TOKENIZER = "needs the model's tokenizer (--tokenizer)"
MOST_GROUPS = 12
"""Groups, those of most tokens, whose pathways are compared."""
CELLS = 500_000_000
"""Cells of edit distance that are filled at most: about three seconds."""
SEED = 0

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pathways:
    """Mean distances of tokens' pathways, within and between groups.

    Attributes:
        names: The groups.
        distance_GG: float64, 0 (the same) to 1; NaN where there are no two tokens to compare.
        num_tokens: Tokens of each group that were drawn.
    """

    names: tuple[str, ...]
    distance_GG: Array
    num_tokens: int


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenFindings:
    """What traces tell, or why they do not.

    Attributes:
        top: Tokens of each expert.
        texts: What token ids stand for.
        together_LEE: int64, tokens that selected both experts of a layer; its diagonal is each expert's own.
        pathways: Distances of groups.
        num_tokens: Tokens that were read.
        is_whole: Whether these are all tokens of the traces.
        scripts: Script of each token id, the most frequent one.
    """

    top: TopTokens | Missing
    texts: Mapping[int, dict[str, str]] | Missing
    together_LEE: NDArray[np.int64] | Missing
    pathways: Pathways | Missing
    num_tokens: int = 0
    is_whole: bool = True
    scripts: Mapping[int, str] | None = None


def token_findings_of(groups: Groups, sample: TraceSample | None, tokenizer: Path | None) -> TokenFindings:
    """Compute what traces tell of some groups.

    Args:
        groups: The groups of the report.
        sample: The traces; None where there are none.
        tokenizer: Folder or file of the model's tokenizer; None where it is not known.

    Raises:
        EvidenceError: The tokenizer cannot be read.
    """
    texts = Missing(NO_TOKENIZER) if tokenizer is None else read_token_texts(tokenizer)
    if sample is None:
        missing = Missing(NO_TRACES)
        return TokenFindings(top=missing, texts=texts, together_LEE=missing, pathways=missing)
    num_experts = groups.model.experts
    has_id_n = sample.token_ids_n >= 0
    return TokenFindings(
        top=top_tokens_of(sample.token_ids_n[has_id_n], sample.ids_nLK[has_id_n], num_experts)
        if has_id_n.any()
        else Missing(reasons.NO_VOCABULARY),
        texts=texts,
        together_LEE=coactivation(sample.ids_nLK, num_experts),
        pathways=_pathways(groups, sample),
        num_tokens=len(sample.token_ids_n),
        is_whole=sample.is_whole,
        scripts=_scripts(sample),
    )


def _scripts(sample: TraceSample) -> Mapping[int, str]:
    """Give each token id's most frequent script; of equal ones the first by name."""
    names, script_n = np.unique(np.array(sample.labels_n("script"), dtype=object).astype(str), return_inverse=True)
    ids_V, index_n = np.unique(sample.token_ids_n, return_inverse=True)
    cells = index_n.reshape(-1) * len(names) + script_n.reshape(-1)
    count_VS = np.bincount(cells, minlength=len(ids_V) * len(names)).reshape(len(ids_V), len(names))
    return dict(zip(ids_V.tolist(), names[count_VS.argmax(axis=1)].tolist(), strict=True))


def _pathways(groups: Groups, sample: TraceSample) -> Pathways | Missing:
    columns = [[shown_value(column, value) for value in sample.labels_n(column)] for column in groups.columns]
    group_n = np.array(["/".join(values) for values in zip(*columns, strict=True)], dtype=object)
    # A layer with fewer experts per token, or a token whose experts are not known, has no whole pathway.
    is_known_n = (sample.ids_nLK < groups.model.experts).all(axis=(1, 2))
    largest = sorted(np.argsort(-groups.tokens_G, kind="stable")[:MOST_GROUPS].tolist())
    places = {groups.names[group]: np.flatnonzero(is_known_n & (group_n == groups.names[group])) for group in largest}
    places = {name: found for name, found in places.items() if len(found)}
    if not places:
        return Missing("no token of these groups has all its experts in the traces")
    length = groups.model.layers * groups.model.top_k
    number = _number_drawn(len(places), length)
    generator = np.random.default_rng(SEED)
    words = [
        pathways_of_tokens(
            sample.ids_nLK[generator.permutation(found)[:number]],
            groups.model.experts,
        )
        for found in places.values()
    ]
    return Pathways(names=tuple(places), distance_GG=_distances(words), num_tokens=number)


def _number_drawn(num_groups: int, length: int) -> int:
    pairs = CELLS / length**2 / (num_groups * (num_groups + 1) / 2)
    return int(min(32, max(4, pairs**0.5)))


def _distances(words: Sequence[NDArray[Any]]) -> Array:
    distance_GG = np.full((len(words), len(words)), np.nan)
    for one, other in combinations_with_replacement(range(len(words)), 2):
        first, second = np.indices((len(words[one]), len(words[other]))).reshape(2, -1)
        if one == other:
            # A token is not compared with itself, and each two of a group once.
            first, second = first[first < second], second[first < second]
        if len(first):
            found = pathway_distance(words[one][first], words[other][second]).mean()
            distance_GG[one, other] = distance_GG[other, one] = found
    return distance_GG
