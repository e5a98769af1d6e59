"""Counts of traces: one row per sequence, token script and phase.

Letters of shapes: n tokens, R rows of one sequence, L MoE layers, K selected experts, E experts.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from polyglyph.analysis.evidence.checks import COLUMNS
from polyglyph.analysis.evidence.counts import Counts
from polyglyph.analysis.evidence.errors import EvidenceError
from polyglyph.analysis.evidence.labelled_trace import LabelledTrace
from polyglyph.analysis.evidence.labels import TEXTS
from polyglyph.analysis.evidence.model_shape import ModelShape
from polyglyph.contract.plan import PHASES

PROMPT_BYTES = "prompt_bytes"
"""Label that holds the length of the labelled prompt in UTF-8, for the confounders."""


class _Part(NamedTuple):
    """One sequence's rows."""

    labels: list[dict[str, str]]
    tokens_R: NDArray[np.int64]
    selected_RLE: NDArray[np.int32]
    weight_RLE: NDArray[np.float32] | None


def counts_of_traces(traces: Iterable[LabelledTrace], model: ModelShape, *, digest: str = "") -> Counts:
    """Count the selections of traces. Tokens served from the prefix cache (`computed: false`) are not counted.

    Args:
        traces: Sequences of one model; each is held in memory only while it is counted.
        model: That model.
        digest: `sha256:<hex>` of the files, for provenance.

    Raises:
        EvidenceError: There is no computed token, or a trace is not of the model.
    """
    parts = [part for part in (_count(trace, model) for trace in traces) if len(part.tokens_R)]
    if not parts:
        raise EvidenceError("expected traces of some tokens, got none that the engine computed: trace other requests")
    labels = [row for part in parts for row in part.labels]
    columns = [*COLUMNS, *sorted({name for row in labels for name in row} - set(COLUMNS))]
    has_weights = all(part.weight_RLE is not None for part in parts)
    return Counts(
        model=model,
        labels=pl.DataFrame({name: [row.get(name, "") for row in labels] for name in columns}),
        tokens_N=np.concatenate([part.tokens_R for part in parts]),
        selected_NLE=np.concatenate([part.selected_RLE for part in parts]),
        weight_NLE=np.concatenate([part.weight_RLE for part in parts if part.weight_RLE is not None])
        if has_weights
        else None,
        has_sequences=True,
        digest=digest,
    )


def _count(labelled: LabelledTrace, model: ModelShape) -> _Part:
    trace = labelled.trace
    _check_shape(labelled, model)
    computed_n = trace.computed
    keys = [
        (script, PHASES[phase])
        for script, phase, computed in zip(trace.scripts, trace.phases, computed_n, strict=True)
        if computed
    ]
    rows = {key: row for row, key in enumerate(sorted(set(keys)))}
    row_n = np.array([rows[key] for key in keys], dtype=np.int64)
    weights_nLK = None if trace.weights is None else trace.weights[computed_n]
    shape = (len(rows), model.layers, model.experts)
    selected, weight = _sums(trace.ids[computed_n], weights_nLK, row_n, shape, name=labelled.sequence)
    return _Part(
        labels=[_labels(labelled, script, phase) for script, phase in rows],
        tokens_R=np.bincount(row_n, minlength=len(rows)).astype(np.int64),
        selected_RLE=selected,
        weight_RLE=weight,
    )


def _check_shape(labelled: LabelledTrace, model: ModelShape) -> None:
    shape = labelled.trace.ids.shape[1:]
    if shape != (model.layers, model.top_k):
        raise EvidenceError(
            f"the trace of {labelled.sequence}: expected {model.layers} layers of top-{model.top_k}, got {shape[0]} of "
            f"top-{shape[1]}; read traces of each model apart"
        )


def _sums(
    ids_nLK: NDArray[Any],
    weights_nLK: NDArray[Any] | None,
    row_n: NDArray[np.int64],
    shape: tuple[int, int, int],
    *,
    name: str,
) -> tuple[NDArray[np.int32], NDArray[np.float32] | None]:
    """Add up ids and weights by row, layer and expert; ids that are not known count nowhere."""
    known_nLK = ids_nLK != np.iinfo(ids_nLK.dtype).max
    if (ids_nLK[known_nLK] >= shape[2]).any():
        raise EvidenceError(
            f"the trace of {name}: expected experts below {shape[2]}, got {int(ids_nLK[known_nLK].max())}; read traces "
            "of each model apart"
        )
    row_layer_nL = row_n[:, None] * shape[1] + np.arange(shape[1])
    cell = (row_layer_nL[:, :, None] * shape[2] + ids_nLK)[known_nLK]
    size = shape[0] * shape[1] * shape[2]
    selected = np.bincount(cell, minlength=size).astype(np.int32).reshape(shape)
    if weights_nLK is None:
        return selected, None
    weight = np.bincount(cell, weights_nLK[known_nLK].astype(np.float64), size)
    return selected, weight.astype(np.float32).reshape(shape)


def _labels(labelled: LabelledTrace, script: str, phase: str) -> dict[str, str]:
    trace = labelled.trace
    own = {name: value for name, value in labelled.labels.items() if name not in TEXTS}
    if "prompt" in labelled.labels:
        own[PROMPT_BYTES] = str(len(labelled.labels["prompt"].encode()))
    return own | {
        "sequence": labelled.sequence,
        "item": labelled.item,
        "request_script": trace.request_script,
        "script": script,
        "phase": phase,
        "plan": trace.plan,
        "tag": trace.tag,
    }
