"""Evidence for tests: counts, traces and stats of a small model, made by hand or by a seed."""

import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from polyglyph.analysis.evidence.checks import COLUMNS
from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.contract.exports.loaded import LoadedStats
from polyglyph.contract.stats import StatsHeader
from polyglyph.contract.sums import GroupKey, GroupSums
from polyglyph.contract.trace import SequenceTrace, TraceHeader
from polyglyph.contract.trace_table import schema_of, table_of

FINGERPRINT = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
UNKNOWN = 255


def shape(layers=2, experts=4, top_k=2, fingerprint=FINGERPRINT):
    return ModelShape("", fingerprint, layers, experts, top_k)


def labels_of(rows):
    """Give rows of labels as a frame; what a row does not say is empty."""
    names = [*COLUMNS, *sorted({name for row in rows for name in row} - set(COLUMNS))]
    return pl.DataFrame({name: pl.Series([row.get(name, "") for row in rows], dtype=pl.String) for name in names})


def counts_of(selected, tokens, rows, *, model=None, has_sequences=True, weights=None):
    selected = np.asarray(selected, dtype=np.int64)
    model = model or shape(layers=selected.shape[1], experts=selected.shape[2])
    return Counts(
        model=model,
        labels=labels_of(rows),
        tokens_N=np.asarray(tokens, dtype=np.int64),
        selected_NLE=selected,
        weight_NLE=weights,
        has_sequences=has_sequences,
        digest="sha256:" + "0" * 64,
    )


def drawn(probabilities_LE, num_tokens, top_k, rng):
    """Draw selections of tokens: each layer's top k of Gumbel noise on the logarithms."""
    logits = np.log(np.asarray(probabilities_LE)) + rng.gumbel(size=(num_tokens, *np.shape(probabilities_LE)))
    return np.argsort(-logits, axis=-1)[..., :top_k].astype(np.uint8)


def selected_of(ids_nLK, experts):
    return (ids_nLK[..., None] == np.arange(experts)).sum(axis=(0, 2))


def parallel_counts(first_LE, second_LE, *, num_items, num_tokens=8, top_k=2, seed=0, names=("Latn", "Cyrl")):
    """Give items that are there in both scripts, one sequence each, of given selection probabilities."""
    rng = np.random.default_rng(seed)
    rows, selected = [], []
    for item in range(num_items):
        for name, probabilities in zip(names, (first_LE, second_LE), strict=True):
            rows.append({"sequence": f"{item}/{name}", "item": str(item), "script": name, "phase": "prompt"})
            selected.append(selected_of(drawn(probabilities, num_tokens, top_k, rng), np.shape(probabilities)[1]))
    model = shape(*np.shape(first_LE), top_k)
    return counts_of(selected, [num_tokens] * len(rows), rows, model=model)


def trace(ids, *, request_id="r", scripts=None, phases=None, computed=None, weights=None, token_ids=None, **fields):
    ids = np.asarray(ids, dtype=np.uint8)
    n = len(ids)
    return SequenceTrace(
        request_id=request_id,
        request_script=fields.pop("request_script", "Latn"),
        scripts=tuple(scripts or ["Latn"] * n),
        token_ids=np.arange(n, dtype=np.int32) if token_ids is None else np.asarray(token_ids, dtype=np.int32),
        phases=np.zeros(n, np.uint8) if phases is None else np.asarray(phases, np.uint8),
        steered=np.zeros(n, bool),
        computed=np.ones(n, bool) if computed is None else np.asarray(computed, bool),
        ids=ids,
        weights=None if weights is None else np.asarray(weights, np.float16),
        **fields,
    )


def labelled(ids, labels=None, **fields):
    return LabelledTrace(trace(ids, **fields), labels or {})


def write_traces(path, traces, *, model=None):
    model = model or shape()
    header = TraceHeader(
        model_fingerprint=model.fingerprint, layers=model.layers, experts=model.experts, top_k=model.top_k, versions={}
    )
    pq.write_table(table_of(traces).cast(schema_of(header)), path)
    return path


def write_labels(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def stats_of(*groups, model=None, by=("request_script", "script", "phase", "plan", "tag")):
    """Give stats of groups: (request_script, script, phase, plan, tag), tokens and counts each."""
    model = model or shape()
    header = StatsHeader(
        model_fingerprint=model.fingerprint,
        layers=model.layers,
        experts=model.experts,
        top_k=model.top_k,
        since="2026-01-01T00:00:00Z",
        until="2026-01-02T00:00:00Z",
        versions={},
        by=by,
    )
    sums = tuple(
        GroupSums(
            key=GroupKey(*key),
            tokens=tokens,
            cached_tokens=0,
            selected_LE=np.asarray(selected, np.int64),
            weight_sum_LE=np.asarray(selected, np.float64) / model.top_k,
        )
        for key, tokens, selected in groups
    )
    return LoadedStats(header=header, groups=sums)
