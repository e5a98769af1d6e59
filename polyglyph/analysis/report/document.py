"""Document: the findings as JSON, schema `polyglyph.analysis/1`; what does not exist is its reason, never a NaN."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from polyglyph import __version__
from polyglyph.analysis.quantities import reasons
from polyglyph.analysis.report.cells import cell, cells_by, matrix, rounded
from polyglyph.analysis.report.findings import Findings
from polyglyph.analysis.report.pair_document import differences_document
from polyglyph.analysis.report.surroundings import surroundings_document
from polyglyph.analysis.report.token_document import share_of_misfits, traces_document
from polyglyph.analysis.search.bands import Band, Bands
from polyglyph.analysis.statistics.figure import Missing

SCHEMA = "polyglyph.analysis/1"
MOST_MISFITS = 0.2
"""Share of tokens whose text may be in another script than the traces say."""
Document = dict[str, Any]


def document_of(findings: Findings) -> Document:
    """Give all numbers of the findings as plain JSON types.

    Matrices are nested lists, layers x experts, with null where there is no number; `null_means` says why. Of the
    differences the largest significant ones are listed; page and tables have all.
    """
    source, marks = findings.source, findings.marks
    names = source.groups.names
    return {
        "schema": SCHEMA,
        "tool": f"polyglyph {__version__}",
        "model": _model(findings),
        "evidence": _evidence(findings),
        "by": list(source.groups.columns),
        "groups": _groups(findings),
        "notes": notes_of(findings),
        "bands": findings.curves.bands.to_json(),
        "layers": _layers(findings),
        "coverage": {
            "all": rounded(findings.curves.coverage),
            "by_group": cells_by(names, findings.curves.coverage_G, otherwise=reasons.NEVER_ROUTED),
        },
        "frequencies": dict(zip(names, map(matrix, source.groups.frequencies_GLE), strict=True)),
        "frequency_interval_unit": findings.intervals.unit,
        "lift": _by_group(marks.lift_GLE, names, unit="log2 of frequency over the groups' mean frequency"),
        "entropy_over_groups": _entropy(findings),
        "alpha": findings.pairs.alpha,
        "q_counts_copied_layers_once": findings.pairs.is_clustered,
        "differences": differences_document(findings),
        "signatures": signatures_document(findings),
        "shared": _shared(findings),
        "clusters": _clusters(findings),
        **surroundings_document(findings.surroundings),
        "traces": traces_document(findings.tokens),
    }


def notes_of(findings: Findings) -> list[str]:
    """Give what a reader must know beside the numbers."""
    source, notes = findings.source, []
    if source.left_out:
        parts = ", ".join(f"{tokens:,} {name}" for name, tokens in sorted(source.left_out.items()))
        notes.append(f"Tokens without a script ({parts}) are in no group; load and coverage count them.")
    if source.without_tokens:
        notes.append(f"No token was computed of {', '.join(source.without_tokens)}: nothing can be said of them.")
    if source.steered_tokens and "plan" not in source.groups.columns:
        notes.append(
            f"{source.steered_tokens:,} of these tokens were steered, so that their routing is partly what plans made "
            "of it: --where plan=none leaves them out."
        )
    if not source.counts.has_sequences:
        notes.append(
            "These are sums, in which sequences cannot be told apart: intervals and tests count tokens as "
            "independent and are far too optimistic. Traces give honest ones."
        )
    if source.tags_are_corpora:
        notes.append(
            "Tags hold several requests of one script, so that they name no parallel items: each sequence is one."
        )
    if findings.pairs.is_clustered:
        notes.append(
            "Some layers are copies of one another: their experts of the same index count as one hypothesis in q."
        )
    if share_of_misfits(findings.tokens) > MOST_MISFITS:
        notes.append(
            "Many tokens' texts are in another script than the traces say: --tokenizer seems to be another model's."
        )
    never = np.flatnonzero(~findings.curves.is_routed_L).tolist()
    if never:
        notes.append(f"Layers {', '.join(map(str, never))} routed no token of at least one group.")
    if source.groups.model.selects_all:
        notes.append("Every token selects every expert (k = E): routing can tell nothing here.")
    return notes


def counts_by_band(per_layer: Sequence[int], bands: Bands) -> dict[str, int]:
    """Add up numbers of layers by band; every band is there."""
    return {band.value: int(sum(per_layer[layer] for layer in bands.layers[band])) for band in Band}


def signatures_document(findings: Findings) -> Document:
    """Give how many experts have each signature, by the sorted and comma-joined groups and the band of layers."""
    found = findings.marks.signatures
    if isinstance(found, Missing):
        return found.to_json()
    names, bands = findings.source.groups.names, findings.curves.bands
    counts_SL = found.counts_SL.tolist()
    keys = [set_name(names, groups) for groups in found.sets]
    return {key: counts_by_band(counts_L, bands) for key, counts_L in zip(keys, counts_SL, strict=True)}


def set_name(names: Sequence[str], groups: Sequence[int]) -> str:
    """Name a set of groups."""
    return ",".join(sorted(names[group] for group in groups))


def _model(findings: Findings) -> Document:
    model = findings.source.groups.model
    return {
        "architecture": model.architecture,
        "fingerprint": model.fingerprint,
        "layers": model.layers,
        "experts": model.experts,
        "top_k": model.top_k,
    }


def _evidence(findings: Findings) -> Document:
    source = findings.source
    return {
        "files": list(source.files),
        "digest": source.counts.digest,
        "tells_sequences_apart": source.counts.has_sequences,
        "tokens": int(source.whole.tokens_N.sum()),
        "left_out": dict(source.left_out),
        "without_tokens": list(source.without_tokens),
    }


def _groups(findings: Findings) -> Document:
    source = findings.source
    sequences_G = source.sequences_G
    entropy_G = np.array([_mean(bits_L) for bits_L in findings.curves.entropy_GL])
    return {
        name: {
            "tokens": int(source.groups.tokens_G[group]),
            "sequences": Missing(reasons.NO_SEQUENCES).to_json() if sequences_G is None else int(sequences_G[group]),
            "entropy_bits": cell(entropy_G[group], otherwise=reasons.NEVER_ROUTED),
        }
        for group, name in enumerate(source.groups.names)
    }


def _mean(values: "np.ndarray[Any, Any]") -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _layers(findings: Findings) -> list[Document]:
    curves, names = findings.curves, findings.source.groups.names
    band_of = {layer: band.value for band in Band for layer in curves.bands.layers[band]}
    first, second = np.triu_indices(len(names), k=1)
    pairs = [set_name(names, pair) for pair in zip(first.tolist(), second.tolist(), strict=True)]
    why = reasons.ONE_GROUP if len(names) < 2 else reasons.NEVER_ROUTED
    parallel_L = findings.pairs.parallel_L
    return [
        {
            "layer": layer,
            "band": band_of[layer],
            "information": cell(curves.information_L[layer], otherwise=why),
            "js_mean": cell(curves.js_mean_L[layer], otherwise=why),
            "js": cells_by(pairs, curves.js_GGL[first, second, layer], otherwise=reasons.NEVER_ROUTED),
            "entropy_bits": cells_by(names, curves.entropy_GL[:, layer], otherwise=reasons.NEVER_ROUTED),
            "entropy_normalised_divergence": parallel_L.to_json()
            if isinstance(parallel_L, Missing)
            else cell(parallel_L[layer], otherwise=reasons.NEVER_ROUTED),
            "coverage": rounded(float(curves.coverage_L[layer])),
            "load": {
                "jain": cell(curves.jain_L[layer], otherwise=reasons.NEVER_ROUTED),
                "max_over_mean": cell(curves.max_over_mean_L[layer], otherwise=reasons.NEVER_ROUTED),
                "dormant": int(curves.dormant_L[layer]),
                "jain_by_group": cells_by(names, curves.jain_GL[:, layer], otherwise=reasons.NEVER_ROUTED),
            },
        }
        for layer in range(findings.source.groups.model.layers)
    ]


def _by_group(values: "np.ndarray[Any, Any] | Missing", names: Sequence[str], *, unit: str) -> Document:
    if isinstance(values, Missing):
        return values.to_json()
    groups: Mapping[str, Any] = dict(zip(names, map(matrix, values), strict=True))
    return {"unit": unit, "null_means": reasons.NEVER_SELECTED, "groups": groups}


def _entropy(findings: Findings) -> Document:
    marks = findings.marks
    if isinstance(marks.entropy_LE, Missing) or isinstance(marks.percentile_LE, Missing):
        return Missing(reasons.ONE_GROUP).to_json()
    return {
        "unit": "bits",
        "null_means": reasons.NEVER_SELECTED,
        "bits": matrix(marks.entropy_LE),
        "percentile_in_layer": matrix(marks.percentile_LE),
    }


def _shared(findings: Findings) -> Document:
    shared_LE = findings.marks.shared_LE
    if isinstance(shared_LE, Missing):
        return shared_LE.to_json()
    return {
        "by_band": counts_by_band(shared_LE.sum(axis=1).tolist(), findings.curves.bands),
        "experts": np.argwhere(shared_LE).tolist(),
    }


def _clusters(findings: Findings) -> list[Document] | Document:
    found, names = findings.marks.clusters, findings.source.groups.names
    if isinstance(found, Missing):
        return found.to_json()
    documents = []
    for index, cluster in enumerate(found.clusters):
        is_member_LE = found.member_LE == index
        groups = [names[group] for group in cluster.groups]
        documents.append(
            {
                "name": f"C{index + 1} {' + '.join(groups) or 'all alike'}",
                "groups": groups,
                "size": int(is_member_LE.sum()),
                "bands": counts_by_band(is_member_LE.sum(axis=1).tolist(), findings.curves.bands),
                "share": {name: rounded(share) for name, share in zip(names, cluster.share_G, strict=True)},
            }
        )
    return documents
